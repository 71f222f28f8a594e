"""`embedding-service encode`: a file of texts into a Parquet file of vectors, as fast as the engine goes. A run that was killed
goes on where it was, and its output has the bits of a run that was not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedding_service.model.encoder import Encoder, Encoders, Tokens, describe_encoders, find_encoder
from embedding_service.model.spec import EncoderSpec
from embedding_service.serving.tokenizing import pieces
from embedding_service.tools.journal import Journal
from embedding_service.tools.parquet import Layout, join_parts, write_part
from embedding_service.tools.pipeline import Pipeline, Work
from embedding_service.tools.progress import Progress
from embedding_service.tools.texts_in import Columns, Texts
from embedding_service.tools.windows import Sizes, packs, windows
from twohop import __version__
from twohop.errors import Failed, InvalidInput, ModelError
from twohop_service.durable import explained


@dataclass(frozen=True)
class Job:
    """`window`: so many texts are computed, kept and (after a kill) done again as one."""

    input: Path
    output: Path
    columns: Columns
    models: Sequence[str] = ()
    encoder: str = ""
    engine: str = "auto"
    precision: str = "auto"
    threads: int = 0
    dtype: str = "float32"
    window: int = 8192
    may_replace: bool = False


def encode_file(job: Job) -> dict[str, Any]:
    """Runs to the end and returns the summary. Raises InvalidInput, Failed and ModelError, naming file, row and remedy; what is
    done by then is kept, and the same job goes on from there."""
    try:
        return _encode(job)
    except KeyboardInterrupt:
        parts = Journal.folder_of(job.output)
        raise Failed(f"interrupted; the same command again goes on from what is kept in {parts}") from None


def _encode(job: Job) -> dict[str, Any]:
    _check_paths(job)
    with Journal.opened(job.output, may_replace=job.may_replace) as journal:
        texts = Texts.open(job.input, job.columns)
        began = time.monotonic()
        encoder = find_encoder(describe_encoders(job.models), job.encoder)
        engine = Encoders.load([alone(encoder.spec)], engine=job.engine, precision=job.precision, threads=job.threads)
        loaded = time.monotonic()
        run = _Run(job, encoder, engine, texts, journal)
        rows, truncated = run.to_the_end()
        seconds = time.monotonic() - loaded
        return {
            "command": "encode", "output": str(job.output), **run.metadata(), "dimension": encoder.dimension, "dtype": job.dtype,
            "rows": rows, "resumed": run.resumed, "truncated": truncated, "seconds": round(seconds, 3),
            "load_seconds": round(loaded - began, 3), "texts_per_s": round((rows - run.resumed) / seconds, 1),
        }


def _check_paths(job: Job) -> None:
    detail = {"path": str(job.output)}
    if job.output.suffix != ".parquet":
        raise InvalidInput(f"{job.output}: the output is a Parquet file: name it .parquet", detail=detail)
    if not job.output.parent.is_dir():
        raise Failed(f"{job.output}: there is no folder {job.output.parent}: make it", detail=detail)
    if job.output.is_dir():
        raise Failed(f"{job.output} is a folder: name another output", detail=detail)
    if job.output.exists() and job.output.samefile(job.input):
        raise InvalidInput(f"{job.output} is the input: name another output", detail=detail)


def alone(spec: EncoderSpec) -> str:
    """The `--model` string of this encoder without those that it was given with: an engine for it computes nothing else."""
    keys = {"pooling": spec.pooling, "layers": "+".join(map(str, spec.layers)), "normalize": "yes" if spec.normalize else "no",
            "max_length": spec.max_length, "mask_special": "yes" if spec.mask_special else "no"}
    return f"{spec.name}={spec.folder}:{','.join(f'{key}={value}' for key, value in keys.items())}"


class _Run:
    """One job with what it needs. `resumed`: texts that an earlier run had done."""

    def __init__(self, job: Job, encoder: Encoder, engine: Encoders, texts: Texts, journal: Journal) -> None:
        self._job, self._encoder, self._engine, self._texts, self._journal = job, encoder, engine, texts, journal
        self._layout = Layout(texts.id_kind, encoder.dimension, encoder.per_token, job.dtype)
        self._parts: dict[int, Path] = {}
        self.resumed = 0

    def to_the_end(self) -> tuple[int, int]:
        """(texts, how many were cut) of the output."""
        self._journal.begin({
            **self.metadata(), "dtype": self._job.dtype, "window": self._job.window, "text_column": self._job.columns.text,
            "id_column": self._job.columns.id, "version": __version__,
        })
        self._progress = Progress("encode")
        try:
            count = Pipeline(self._engine, self._works(), self._job.dtype).run(self._advance, self._keep)
        finally:
            self._progress.close()
        self._journal.finished(count)
        output, parts = self._job.output, [self._parts[number] for number in range(count)]
        with explained("write", output), self._journal.written(output) as file:
            totals = join_parts(file, self._layout, parts, self.metadata())
        self._journal.remove()
        return totals

    def metadata(self) -> dict[str, str]:
        """What vectors mean, and what computed them."""
        return {"encoder": self._encoder.name, "fingerprint": self._encoder.fingerprint, "numerics": self._engine.numerics}

    def _works(self) -> Iterator[Work]:
        encoder = self._encoder
        sizes = Sizes(self._job.window, encoder.dimension * np.dtype(self._job.dtype).itemsize,
                      encoder.max_length if encoder.per_token else 1)
        reached = 0
        for window in windows(self._texts.rows(), sizes):
            share, reached = (window.reached - reached) / max(1, self._texts.size), window.reached
            if self._journal.has(window.number, window.digest, str(window)):
                yield Work(window, share, [], [])
                continue
            tokens: list[Tokens] = []
            for piece in pieces([len(text) for text in window.texts]):
                tokens += encoder.encode_batch(window.texts[piece])
            yield Work(window, share, tokens, packs([len(each.ids) for each in tokens], self._engine.tokens_per_batch))

    def _advance(self, work: Work, pack: Sequence[int]) -> None:
        if pack:
            self._progress.advance(len(pack), work.share * sum(len(work.tokens[index].ids) for index in pack) / work.size)
        else:
            self.resumed += len(work.window.ids)
            self._progress.skip(len(work.window.ids), work.share)

    def _keep(self, work: Work) -> None:
        window = work.window
        part = self._parts[window.number] = self._journal.part(window.number, window.digest)
        if not work.packs:
            return
        self._refuse_infinite(work)
        tokens = [len(each.ids) for each in work.tokens]
        truncated = [each.total > len(each.ids) for each in work.tokens]
        with explained("write", part), self._journal.written(part) as file:
            write_part(file, self._layout, window.ids, np.concatenate(work.vectors, dtype=self._job.dtype), tokens, truncated)

    def _refuse_infinite(self, work: Work) -> None:
        infinite = [index for index, vectors in enumerate(work.vectors) if not np.isfinite(vectors).all()]
        if infinite:
            # A text's neighbours in its block have what is not a number from it: alone only it has.
            row = work.window.first + next((index for index in infinite if not self._is_finite_alone(work, index)), infinite[0])
            remedy = "use --dtype float32" if self._job.dtype == "float16" else "leave the text out"
            raise ModelError(f"{self._job.input}, row {row} from 0: its vector is not finite at {self._job.dtype}; {remedy}",
                             detail={"path": str(self._job.input), "row": row})

    def _is_finite_alone(self, work: Work, index: int) -> bool:
        tokens = work.tokens[index]
        [vectors] = self._engine.run([(0, tokens.ids, tokens.types)]).vectors
        with np.errstate(over="ignore"):
            return bool(np.isfinite(vectors.astype(self._job.dtype)).all())
