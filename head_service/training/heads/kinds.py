"""The kinds of heads, one module each, loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from head_service.training.heads.material import Material
from head_service.training.heads.one_thread import one_thread
from head_service.training.heads.portion import STEPS
from head_service.training.heads.shared import Shared
from head_service.training.heads.trained import Trained

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Kind:
    """`wants`: what of an encoder it is made for; "either": tokens where there are any. `mixes`: its `fit` takes what is
    shared."""

    name: str
    wants: Literal["vectors", "tokens", "either"]
    mixes: bool = False

    def fit(
        self, train: Material, validation: Material, classes: int, *, seed: int, multi_label: bool, advance: Advance,
        shared: Shared | None = None,
    ) -> Trained:  # fmt: skip
        """Chooses settings on the validation rows, then trains on all rows. The same rows and seed give the same weights,
        bit for bit, on any number of cores. `advance` is told of STEPS in all. `shared`: with what was fitted before on these
        vectors with this seed."""
        shared = shared or Shared()
        if self.name in shared.heads:
            advance(STEPS)
            return shared.heads[self.name]
        module = import_module(f"{__package__}.{self.name}")
        more = {"shared": shared} if self.mixes else {}
        with one_thread():
            found: Trained = module.fit(
                train, validation, classes, seed=seed, multi_label=multi_label, advance=advance, **more
            )
        shared.heads[self.name] = found
        return found


KINDS = {
    kind.name: kind
    for kind in (
        Kind("linear", "vectors"),
        Kind("mlp", "vectors"),
        Kind("fasttext", "tokens"),
        Kind("attention", "tokens"),
        Kind("hybrid", "either", mixes=True),
    )
}
