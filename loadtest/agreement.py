"""How many labels change when vectors are computed less exactly: `python -m loadtest.agreement --precision int8`.

For each data set a logistic regression is trained on float32 vectors of its training texts; then every text of dev and test
gets a label from its float32 vector and one from its vector at the given precision. Sets are folders of train.tsv, dev.tsv and
test.tsv (`text<TAB>label` under a header), by default those of ../shared/data.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding_service.tools.bench.arithmetic import cosines
from loadtest.machine import machine

DATA = Path(__file__).parents[2] / "shared" / "data"
BATCH_TEXTS = 256


class Agreement(NamedTuple):
    """Shares are 0 … 1; cosines are between the two vectors of a text."""

    texts: int
    same_labels: float
    accuracy_exact: float
    accuracy: float
    mean_cosine: float
    smallest_cosine: float


def compare(
    exact: NDArray[np.float32], vectors: NDArray[np.float32], labels_exact: Sequence[str], labels: Sequence[str],
    truth: Sequence[str],
) -> Agreement:
    """`exact` and `vectors` [N, D] of the same N texts, the label that the head gave each, and the true ones."""
    found = cosines(vectors, exact)
    return Agreement(
        len(truth), _share(labels_exact, labels), _share(labels_exact, truth), _share(labels, truth),
        float(found.mean()), float(found.min()),
    )


def _share(a: Sequence[str], b: Sequence[str]) -> float:
    return float(np.mean(np.asarray(a) == np.asarray(b)))


def read(path: Path, most: int | None = None) -> tuple[list[str], list[str]]:
    """Texts and labels; of more than `most`, so many spread evenly over the file."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    if most is not None and len(rows) > most:
        rows = [rows[at] for at in np.linspace(0, len(rows) - 1, most).astype(int)]
    return [row[0] for row in rows], [row[1] for row in rows]


class Vectors:
    """The first of the default encoders (minilm), computed in this process."""

    def __init__(self, precision: str, threads: int = 0) -> None:
        from embedding_service.model.encoder import Encoders, describe_encoders

        [self._encoder] = describe_encoders(["minilm"])
        self._encoders = Encoders.load(["minilm"], precision=precision, threads=threads)
        self.numerics = self._encoders.numerics

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, D]"""
        found = []
        for start in range(0, len(texts), BATCH_TEXTS):
            tokens = self._encoder.encode_batch(texts[start : start + BATCH_TEXTS])
            found += self._encoders.run([(0, each.ids, each.types) for each in tokens]).vectors
        return np.concatenate(found)


def agreement(folder: Path, exact: Vectors, vectors: Vectors, most: int | None = None) -> dict[str, Agreement]:
    """By file, dev and test. `most`: at most so many texts of each file, for a quick look."""
    from sklearn.linear_model import LogisticRegression

    texts, truth = read(folder / "train.tsv", most)
    head = LogisticRegression(C=10, max_iter=300).fit(exact.of(texts), truth)
    found = {}
    for name in ("dev", "test"):
        texts, truth = read(folder / f"{name}.tsv", most)
        a, b = exact.of(texts), vectors.of(texts)
        found[name] = compare(a, b, head.predict(a), head.predict(b), truth)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", default="int8", choices=["bf16", "int8"])
    parser.add_argument("--data", type=Path, nargs="+", default=[DATA / "sst2", DATA / "clinc150"], metavar="FOLDER")
    parser.add_argument("--most", type=int, default=None, help="texts of each file  [default: all]")
    arguments = parser.parse_args()
    if missing := [str(folder) for folder in arguments.data if not (folder / "train.tsv").is_file()]:
        parser.error(f"no train.tsv in {', '.join(missing)}: name folders with --data")
    exact, vectors = Vectors("f32"), Vectors(arguments.precision)
    print(machine())
    print(f"{vectors.numerics} against {exact.numerics}")
    print(f"{'set':16} {'texts':>6} {'same label':>11} {'accuracy':>9} {'(exact)':>8} {'mean cosine':>12} {'smallest':>9}")
    for folder in arguments.data:
        for name, each in agreement(folder, exact, vectors, arguments.most).items():
            print(f"{folder.name + ' ' + name:16} {each.texts:6} {each.same_labels:11.2%} {each.accuracy:9.2%} "
                  f"{each.accuracy_exact:8.2%} {each.mean_cosine:12.5f} {each.smallest_cosine:9.5f}", flush=True)


if __name__ == "__main__":
    main()
