"""A real worker process around a fragile model: some tokens make it raise, die, hang, or answer NaN.

Its vectors are [the first token, how many tokens]. Where the folder named as its model holds a file `refuse`, it does not
start; with `die`, or once with `die once`, it ends while starting; once with `stall`, it starts for ever.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedding_service.model.encoder import Item, Output
from embedding_service.serving.worker import Plan, main
from twohop.errors import Failed

KILLS, RAISES, NOT_A_NUMBER, HANGS = 13, 14, 15, 16


class FragileModel:
    numerics = "fragile-f32"
    tokens_per_batch = 64
    streams = 2
    weights = ((0, 64),)

    def run(self, items: Sequence[Item], stream: int | None = None) -> Output:
        tokens = {int(token) for _, ids, _ in items for token in ids}
        if KILLS in tokens:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANGS in tokens:
            time.sleep(3600)
        if RAISES in tokens:
            raise ValueError("no")
        return Output(
            [np.array([[float("nan") if NOT_A_NUMBER in ids else ids[0], len(ids)]], np.float32) for _, ids, _ in items], 0
        )


def load(plan: Plan) -> FragileModel:
    folder = Path(plan.models[0])
    if (folder / "refuse").exists():
        raise Failed("the weights are gone")
    if (folder / "die").exists() or _taken(folder / "die once"):
        os.kill(os.getpid(), signal.SIGKILL)
    if _taken(folder / "stall"):
        time.sleep(3600)
    return FragileModel()


def _taken(flag: Path) -> bool:
    """Whether it was there; it counts once."""
    was_there = flag.exists()
    flag.unlink(missing_ok=True)
    return was_there


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], load))
