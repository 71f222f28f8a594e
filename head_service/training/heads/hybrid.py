"""The `hybrid` head: `attention`, or `linear` where only sentence vectors are on offer, mixed with a regression on n-grams.

Log-probabilities of separately trained parts are averaged by a weight chosen on validation; a softmax sees differences only,
so logits are averaged instead, and the weight folds into both parts. Where n-grams bring nothing they are left out: the head
then reads no `text`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from head_service.training.heads import ngram_regression, objective
from head_service.training.heads.kinds import KINDS
from head_service.training.heads.material import Material, joined
from head_service.training.heads.portion import STEPS, Portion
from head_service.training.heads.shared import Shared
from head_service.training.heads.trained import Model, Trained, Trial

SHARES = tuple(round(0.1 * tenths, 1) for tenths in range(10))  # of the n-grams
WORTH_HAVING = 0.99  # of the cross-entropy without n-grams: they cost bytes and time
BASIS_STEPS, CHOICE_STEPS = 70, 20


def fit(
    train: Material, validation: Material, classes: int, *, seed: int, multi_label: bool, advance: Callable[[int], None],
    shared: Shared,
) -> Trained:  # fmt: skip
    """See kinds.Kind."""
    kind = KINDS["attention" if train.tokens is not None else "linear"]
    told = Portion(advance, BASIS_STEPS, STEPS)
    basis = kind.fit(train, validation, classes, seed=seed, multi_label=multi_label, advance=told.more, shared=shared)
    told = Portion(advance, CHOICE_STEPS, len(ngram_regression.PENALTIES))
    choice = shared.ngrams.choice(train, validation, classes, told)
    told.finish()
    trials = [_mixed_trial(share, basis, choice, validation) for share in SHARES]
    best = min(trials, key=lambda trial: trial.cross_entropy)
    if best.cross_entropy > WORTH_HAVING * trials[0].cross_entropy:
        best = trials[0]  # without
    share = best.settings["ngram_share"]
    trained = Trained(
        basis.model, mixed(share, basis.validation, choice.validation), best.settings, [*basis.trials, *choice.trials, *trials]
    )
    if share > 0:
        table, bias = shared.ngrams.trained(joined(train, validation), classes)
        trained = replace(trained, model=with_ngrams(basis.model, table, bias, share, multi_label))
    advance(STEPS - BASIS_STEPS - CHOICE_STEPS)
    return trained


def _mixed_trial(share: float, basis: Trained, choice: ngram_regression.Choice, validation: Material) -> Trial:
    settings = {**basis.settings, "ngram_share": share}
    if share > 0:
        settings |= choice.trial.settings
    return objective.trial(settings, mixed(share, basis.validation, choice.validation), validation)


def mixed(share: float, basis: Any, ngrams: Any) -> Any:
    return (1 - share) * basis + share * ngrams


def with_ngrams(
    basis: Model, table: npt.NDArray[Any], bias: npt.NDArray[Any], share: float, multi_label: bool
) -> Model:
    """`basis` with the n-grams of the text; table and bias are ngram_regression's."""
    kernel, own_bias = basis.weights["kernel"], basis.weights["bias"]
    classes = len(bias)

    def logits(weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
        return basis.logits(weights, inputs) + ngram_regression.logits(weights["ngrams"], inputs["text"], classes)

    weights = {
        **basis.weights,
        "kernel": ((1 - share) * kernel).astype(np.float32),
        "bias": mixed(share, own_bias, bias).astype(np.float32),
        "ngrams": ngram_regression.stored(share * table, multi_label),
    }
    return Model((*basis.inputs, "text"), weights, logits)
