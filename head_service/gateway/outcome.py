"""What the heads answered, and what the caller is told about it: pure functions of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from twohop.errors import TwoHopError
from twohop.types import Classification, Classifications, Encoder

Policy = Literal["any", "all"]
Outcome = Mapping[str, Classifications | TwoHopError]


def failure(outcome: Outcome, policy: Policy) -> TwoHopError | None:
    """The error that the whole request ends with: with `all` the first head's that failed, in the order asked; with
    `any` the same, but only if no head answered. None: the request is answered."""
    failed = [(head, result) for head, result in outcome.items() if isinstance(result, TwoHopError)]
    if not failed or (policy == "any" and len(failed) < len(outcome)):
        return None
    head, error = failed[0]
    return type(error)(error.message, detail={"head": head, **error.detail}, retry_after_s=error.retry_after_s)


def body(outcome: Outcome, encoders: Iterable[Encoder], *, total_ms: float) -> dict[str, Any]:
    """The answer of POST /v1/classify. One head at least has answered."""
    answered = {head: result for head, result in outcome.items() if isinstance(result, Classifications)}
    failed = {head: result.as_json() for head, result in outcome.items() if isinstance(result, TwoHopError)}
    used = {result.fingerprint for result in answered.values()}
    return {
        "results": [_result(texts, answered, failed, outcome) for texts in zip(*answered.values(), strict=True)],
        "heads": {head: {"version": each.version, "encoder": each.fingerprint} for head, each in answered.items()},
        "encoders": {each.fingerprint: {"name": each.name, "numerics": each.numerics}
                     for each in encoders if each.fingerprint in used},
        "timings_ms": {
            # Encoders work side by side, so the slowest is what the caller waited for.
            "embed": _ms(max(each.timings_ms["embed"] for each in answered.values())),
            "heads": {head: _ms(each.timings_ms["head"]) for head, each in answered.items()},
            "total": _ms(total_ms),
        },
    }


def _result(
    per_head: Sequence[Classification], answered: Iterable[str], failed: Mapping[str, dict[str, Any]], order: Iterable[str]
) -> dict[str, Any]:
    """One text. Its tokens are those of the first head that answered, and it was truncated if any head's encoder cut it."""
    labels = dict(zip(answered, map(_label, per_head), strict=True))
    return {
        "tokens": per_head[0].tokens,
        "truncated": any(each.truncated for each in per_head),
        "heads": {head: labels.get(head) or failed[head] for head in order},
    }


def _label(each: Classification) -> dict[str, Any]:
    scores = None if each.scores is None else {label: _score(score) for label, score in each.scores.items()}
    return {"label": each.label, "score": _score(each.score), "scores": scores}


def _score(score: float) -> float:
    """Scores are float32: seven digits say all of them, and 0.98 stays 0.98 on its way through JSON."""
    return float(f"{score:.7g}")


def _ms(milliseconds: float) -> float:
    return round(milliseconds, 3)
