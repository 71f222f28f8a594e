"""What training decides without fitting anything: encoders, weights of rows, folds that agree, and what `auto` tries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from head_service import cli
from head_service.progress import Progress, progress
from head_service.training import auto, encoders, fitting, materials, scratch
from head_service.training.attempts import Attempt, Candidate
from head_service.training.figures import validated
from head_service.training.heads.kinds import KINDS
from head_service.training.heads.material import Material, Tokens
from head_service.training.heads.trained import Model, Trained, Trial
from head_service.training.rows import Split
from twohop.errors import InvalidInput, NotFound
from twohop.types import Encoder, Encoders, Limits


def encoder(name: str, dimension: int = 4, *, per_token: bool = False) -> Encoder:
    return Encoder(name, (), f"enc-{name}", {}, "rule", dimension, per_token, 256, False, True)


def listed(*some: Encoder) -> Encoders:
    return Encoders(some, Limits(0, 0, 0), "rule")


OFFERED = listed(encoder("minilm"), encoder("rich", 16), encoder("tokens", per_token=True))


def test_the_command_offers_every_kind_there_is() -> None:
    assert {*cli.KINDS} == {*KINDS, "auto"}


@pytest.mark.parametrize(
    ("kind", "name", "chosen"),
    [("linear", "", "minilm"), ("linear", "rich", "rich"), ("attention", "", "tokens"), ("fasttext", "tokens", "tokens"),
     ("hybrid", "", "tokens"), ("hybrid", "rich", "rich")],
)  # fmt: skip
def test_the_named_encoder_or_the_first_that_the_kind_can_use(kind: str, name: str, chosen: str) -> None:
    assert encoders.choose(OFFERED, name, KINDS[kind]).name == chosen


def test_hybrid_takes_sentence_vectors_where_no_others_are_on_offer() -> None:
    assert encoders.choose(listed(encoder("a"), encoder("b")), "", KINDS["hybrid"]).name == "a"


def test_a_wrong_pair_is_an_error_that_names_the_encoders_that_fit() -> None:
    with pytest.raises(InvalidInput, match=r"tokens gives one vector per token.*linear.*one vector per text.*minilm, rich"):
        encoders.choose(OFFERED, "tokens", KINDS["linear"])
    with pytest.raises(InvalidInput, match=r"minilm gives one vector per text.*that fit: tokens"):
        encoders.choose(OFFERED, "minilm", KINDS["attention"])
    with pytest.raises(NotFound, match="one vector per token, as kind attention needs"):
        encoders.choose(listed(encoder("a")), "", KINDS["attention"])


def split_of(label_sets: list[tuple[str, ...]], train_count: int, *, multi_label: bool = False) -> Split:
    labels = sorted({label for labels in label_sets for label in labels})
    return Split([str(row) for row in range(len(label_sets))], label_sets, train_count, labels, multi_label)


def test_balanced_weights_give_each_class_the_same_share() -> None:
    parts = split_of([("a",)] * 90 + [("b",)] * 10 + [("a",), ("new",)], 100)
    targets = materials.targets_of(parts)
    weights = materials.row_weights(targets, 100)
    assert weights[:90].sum() == pytest.approx(weights[90:100].sum()) == pytest.approx(50)
    assert weights[100] == weights[0]
    assert weights.min() > 0


def test_balanced_weights_of_several_labels_lift_rare_ones() -> None:
    parts = split_of([("a",)] * 80 + [("a", "b")] * 10 + [()] * 10, 100, multi_label=True)
    targets = materials.targets_of(parts)
    assert targets[85].tolist() == [1, 1]
    weights = materials.row_weights(targets, 100)
    assert weights.mean() == pytest.approx(1)
    assert min(weights[80], weights[95]) > weights[0]


def tokens_of(lengths: list[int]) -> Material:
    offsets = np.cumsum([0, *lengths])
    flat = np.repeat(np.arange(len(lengths)), lengths)[:, None].astype(np.float16)  # [T, 1], each token its text's number
    rows = np.arange(len(lengths))
    return Material([str(n) for n in lengths], rows, np.ones(len(rows), np.float32), tokens=Tokens(flat, offsets))


def test_parts_of_rows_keep_their_tokens(tmp_path: Path) -> None:
    whole = tokens_of([2, 1, 3, 4])
    later, some = materials.between(whole, 1, 3), materials.at(whole, [3, 0], tmp_path)
    assert (later.texts, later.tokens.flat[:, 0].tolist(), later.tokens.offsets.tolist()) == (["1", "3"], [1, 2, 2, 2], [0, 1, 4])
    assert (some.texts, some.tokens.flat[:, 0].tolist(), some.tokens.offsets.tolist()) == (
        ["4", "2"], [3, 3, 3, 3, 0, 0], [0, 4, 6]
    )  # fmt: skip
    assert some.targets.tolist() == [3, 0]


def test_arrays_on_disk_leave_no_file_behind(tmp_path: Path) -> None:
    array = scratch.array(tmp_path, (1000, 3), np.float32)
    array[:] = 7
    assert (array.sum(), list(tmp_path.iterdir())) == (21_000, [])
    assert scratch.array(tmp_path, (0, 3), np.float32).shape == (0, 3)


MODEL = Model((), {}, lambda weights, inputs: None)


def fold(chosen: float, figures: dict[float, tuple[float, float]]) -> Trained:
    trials = [Trial({"penalty": penalty}, *both) for penalty, both in figures.items()]
    return Trained(MODEL, np.zeros((0, 2), np.float32), {"penalty": chosen}, trials)


def test_folds_agree_on_the_settings_that_did_best_over_all() -> None:
    one = fold(0.1, {0.1: (0.9, 0.3), 0.01: (0.89, 0.2)})
    two = fold(0.01, {0.1: (0.7, 0.6), 0.01: (0.9, 0.4)})
    assert fitting.agreed([one, two], multi_label=False) is two
    never_tried = fold(0.001, {0.1: (0.88, 0.3), 0.001: (0.99, 0.1)})
    assert fitting.agreed([one, two, never_tried], multi_label=False) is two


class Bench:
    """Attempts whose accuracy is written down, and that tell of steps on a clock of the test's own."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, right: dict[str, int], seconds: dict[str, float] | None = None,
        sureness: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.right, self.seconds, self.sureness = right, seconds or {}, sureness or {}
        self.now, self.names = 0.0, []
        monkeypatch.setattr(auto.time, "monotonic", lambda: self.now)

    def attempt(self, candidate: Candidate, progress: Progress) -> Attempt:
        self.names.append(candidate.name)
        with progress("fitting", 100, unit="%") as advance:
            for _ in range(100):
                self.now += self.seconds.get(candidate.name, 1.0) / 100
                advance(1)
        right, sure = self.right.get(candidate.name, 50), self.sureness.get(candidate.name, 1.0)
        logits = np.zeros((100, 2), np.float32)
        logits[:right, 1], logits[right:, 0] = 2, 2 * sure
        judged = validated(logits, np.ones(100, np.int64), ["a", "b"], None)
        return Attempt(candidate, fold(0.1, {0.1: (0.5, 0.5)}), judged, 1.0)


def test_auto_tries_the_cheapest_first_and_takes_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"linear on rich": 80, "hybrid on tokens": 90, "attention on tokens": 85})
    choice = auto.choose(OFFERED, "", bench.attempt, progress, minutes=10)
    assert bench.names == ["linear on minilm", "linear on rich", "attention on tokens", "hybrid on rich", "hybrid on tokens"]
    assert choice.best.candidate.name == "hybrid on tokens"
    assert choice.runner_up is not None
    assert choice.runner_up.candidate.name == "attention on tokens"
    assert "hybrid on tokens: accuracy 0.9000" in choice.why
    assert "runner-up attention on tokens: accuracy 0.8500" in choice.why
    document = choice.document()
    assert document["runner_up"] == {"kind": "attention", "encoder": "tokens"}
    assert [each["accuracy"] for each in document["tried"]] == [0.5, 0.8, 0.85, 0.5, 0.9]


def test_of_equals_auto_takes_the_cheaper_one(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = auto.choose(OFFERED, "", Bench(monkeypatch, {}).attempt, progress, minutes=10)
    assert choice.best.candidate.name == "linear on minilm"
    assert "as good, and dearer" in choice.why


def test_accuracies_that_chance_may_have_swapped_are_told_apart_by_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {"linear on minilm": 81, "linear on rich": 80}, sureness={"linear on minilm": 9.0})
    choice = auto.choose(listed(*list(OFFERED)[:2]), "", bench.attempt, progress, minutes=10)
    assert choice.best.candidate.name == "linear on rich"
    assert "no better than chance allows" in choice.why


@pytest.mark.parametrize(
    ("needs_s", "says"), [(1000.0, "it needs 840 s more, 100 are left"), (5000.0, "6% done when the time was over")]
)
def test_auto_gives_up_what_will_not_end_in_time_and_says_so(monkeypatch: pytest.MonkeyPatch, needs_s: float, says: str) -> None:
    slow = {"linear on minilm": 30.0, "linear on rich": 10.0, "attention on tokens": needs_s}
    bench = Bench(monkeypatch, {"linear on rich": 80}, slow)
    choice = auto.choose(OFFERED, "", bench.attempt, progress, minutes=5)
    assert choice.best.candidate.name == "linear on rich"
    left_out = {each.candidate.name: each.left_out for each in choice.tried if not each.attempt}
    assert says in left_out["attention on tokens"]
    assert "attention on tokens (fitting" in choice.why
    assert bench.now < 360


def test_auto_tries_the_first_to_its_end_and_starts_nothing_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {}, {"linear on minilm": 100.0})
    choice = auto.choose(OFFERED, "", bench.attempt, progress, minutes=1)
    assert choice.best.candidate.name == "linear on minilm"
    assert choice.runner_up is None
    assert {each.left_out for each in choice.tried[1:]} == {"the time was over before it began"}


@pytest.mark.parametrize(
    ("name", "tried"),
    [("minilm", ["linear on minilm", "hybrid on minilm"]), ("tokens", ["attention on tokens", "hybrid on tokens"])],
)
def test_auto_makes_do_with_one_encoder(monkeypatch: pytest.MonkeyPatch, name: str, tried: list[str]) -> None:
    bench = Bench(monkeypatch, {})
    auto.choose(OFFERED, name, bench.attempt, progress, minutes=10)
    assert bench.names == tried
    with pytest.raises(NotFound, match="no encoder is named"):
        auto.choose(OFFERED, "gone", bench.attempt, progress, minutes=10)
    with pytest.raises(NotFound, match="lists no encoder"):
        auto.choose(listed(), "", bench.attempt, progress, minutes=10)


def test_a_step_of_which_nothing_is_done_yet_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("head_service.progress.time.monotonic", lambda: now[0])
    with progress("fitting", 100, unit="%") as advance:
        for seconds, steps in ((60.0, 0), (100.0, 50)):
            now[0] = seconds
            advance(steps)
    assert capsys.readouterr().err == "fitting: 50 of 100 %, 0.5/s, 100 s left\n"
