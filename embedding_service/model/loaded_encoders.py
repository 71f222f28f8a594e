"""The worker's half: encoders ready to run. Items of any mix of encoders over one set of weights share one forward pass; each
text's hidden states then become its own encoder's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedding_service.model import numerics, reference
from embedding_service.model.checkpoint import Checkpoint
from embedding_service.model.cores import available_cores
from embedding_service.model.devices import computing_devices
from embedding_service.model.engine import Engine, Pack
from embedding_service.model.fingerprint import needed_tensors
from embedding_service.model.pooling import counted_tokens, normalized, pool, pool_classifier
from embedding_service.model.spec import EncoderSpec, parse_models
from embedding_service.model.tokenizer import Tokenizer
from twohop.errors import Failed, InvalidInput, ModelError

ENGINES = ("auto", "openvino", "torch")
PRECISIONS = ("auto", "f32", "bf16", "f16", "int8")

Vectors = NDArray[np.float32]
# (Encoder.index, Tokens.ids, Tokens.types): plain arrays, cheap to send to the worker.
Item = tuple[int, NDArray[np.int32], NDArray[np.int32] | None]


class Output(NamedTuple):
    """Of one `run`, in the order of its items: float32 [rows, dimension] each, one row or (token encoder) one per token; and
    the tokens that were computed beside the texts, to fill blocks."""

    vectors: list[Vectors]
    filler: int


class Encoders:
    """All encoders of a worker, ready to run: one engine per set of weights."""

    def __init__(
        self, specs: Sequence[EncoderSpec], engines: dict[Path, Engine], poolers: dict[Path, tuple[Vectors, Vectors]]
    ) -> None:
        self._specs = tuple(specs)
        self._engines = engines
        self._poolers = poolers

    @classmethod
    def load(cls, models: Sequence[str] = (), *, engine: str = "auto", precision: str = "auto", threads: int = 0) -> Encoders:
        """Builds, warms up and checks the numerics: what it returns is ready. threads 0: all cores we may use.

        Raises InvalidInput for bad values, Failed where this machine or the weights cannot do it.
        """
        if engine not in ENGINES or precision not in PRECISIONS:
            raise InvalidInput(
                f"there is no --engine {engine} with --precision {precision}; there are the engines {', '.join(ENGINES)} and the "
                f"precisions {', '.join(PRECISIONS)}", detail={"engine": engine, "precision": precision}
            )
        build = _torch if engine == "torch" or computing_devices(engine, precision) else _openvino
        specs = parse_models(models)
        threads = threads or available_cores()
        engines: dict[Path, Engine] = {}
        poolers: dict[Path, tuple[Vectors, Vectors]] = {}
        for folder in dict.fromkeys(spec.folder for spec in specs):
            own = [spec for spec in specs if spec.folder == folder]
            checkpoint = Checkpoint.open(folder)
            for spec in own:
                checkpoint.check(needed_tensors(spec))
            if any(spec.pooling == "cls-pooled" for spec in own):
                poolers[folder] = checkpoint.tensor("pooler.dense.weight").copy(), checkpoint.tensor("pooler.dense.bias").copy()
            engines[folder] = build(checkpoint, own, precision, threads)
            encoders = cls(own, {folder: engines[folder]}, poolers)
            encoders._check(checkpoint)
            engines[folder].warm_up(max(spec.max_length for spec in own))
            checkpoint.drop_pages()
        return cls(specs, engines, poolers)

    @property
    def numerics(self) -> str:
        """The numerics class of all vectors, such as `openvino-bf16`."""
        return next(iter(self._engines.values())).numerics

    @property
    def streams(self) -> int:
        """So many `run`s keep the whole machine busy, one on each stream, from a thread each."""
        return next(iter(self._engines.values())).streams

    @property
    def tokens_per_batch(self) -> int:
        """So many tokens in one `run` keep a stream at full speed; more only make it longer."""
        return next(iter(self._engines.values())).tokens_per_batch

    @property
    def weights(self) -> list[tuple[int, int]]:
        """For each set of weights, in the order of the encoders: the one over it that computes most layers, and the tokens of
        the longest text that any of them takes."""
        found = []
        for folder in self._engines:
            own = [index for index, spec in enumerate(self._specs) if spec.folder == folder]
            deepest = max(own, key=lambda index: self._specs[index].top)
            found.append((deepest, max(self._specs[index].max_length for index in own)))
        return found

    def run(self, items: Sequence[Item], stream: int | None = None) -> Output:
        """Vectors of the items, of any mix of encoders. `stream` None: on the whole machine, with nothing beside it.

        Raises ModelError, naming the item, for tokens that this encoder cannot take.
        """
        for number, item in enumerate(items):
            self._refuse_impossible(number, item)
        pooled: dict[int, Vectors] = {}
        computed = 0
        for folder, engine in self._engines.items():
            own = [number for number, (encoder, _, _) in enumerate(items) if self._specs[encoder].folder == folder]
            if not own:
                continue
            self._refuse_foreign_tokens(items, own)
            pack, counted = self._pack([items[number] for number in own])
            for part in engine.run(pack, stream):
                computed += next(len(array) for array in part.states.values())
                for sequence, start in zip(part.sequences, part.starts, strict=True):
                    rows = slice(start, start + pack.lengths[sequence])
                    states = {layer: array[rows] for layer, array in part.states.items()}
                    spec = self._specs[items[own[sequence]][0]]
                    pooled[own[sequence]] = self._pool(spec, states, counted[sequence])
        vectors = self._finished(items, [pooled[number] for number in range(len(items))])
        return Output(vectors, computed - sum(len(ids) for _, ids, _ in items))

    def _refuse_impossible(self, number: int, item: Item) -> None:
        encoder, ids, _ = item
        if not 0 <= encoder < len(self._specs):
            raise ModelError(f"item {number} names encoder {encoder} of {len(self._specs)}", detail={"item": number})
        spec = self._specs[encoder]
        most = spec.architecture.positions
        if not 0 < len(ids) <= most:
            raise ModelError(f"item {number} has {len(ids)} tokens; {spec.name} takes 1 to {most}", detail={"item": number})

    def _refuse_foreign_tokens(self, items: Sequence[Item], own: Sequence[int]) -> None:
        """`own`: those of one set of weights."""
        spec = self._specs[items[own[0]][0]]
        vocabulary = spec.architecture.vocabulary

        def is_foreign(tokens: NDArray[np.int32]) -> bool:
            return int(tokens.min()) < 0 or int(tokens.max()) >= vocabulary

        if is_foreign(np.concatenate([items[number][1] for number in own])):
            wrong = next(number for number in own if is_foreign(items[number][1]))
            raise ModelError(f"item {wrong} has a token outside {spec.name}'s {vocabulary}", detail={"item": wrong})

    def _pack(self, items: Sequence[Item]) -> tuple[Pack, list[NDArray[np.bool_] | None]]:
        """The items, and for each which tokens count in pooling (None: all)."""
        specs = [self._specs[encoder] for encoder, _, _ in items]
        ids, types = [ids for _, ids, _ in items], [types for _, _, types in items]
        lengths = [len(each) for each in ids]
        counted = [counted_tokens(length, its_types) if spec.mask_special else None
                   for spec, length, its_types in zip(specs, lengths, types, strict=True)]
        # Where nothing counts, bert-as-service's softmax masks nothing either.
        attended = [None if keep is None or not keep.any() else keep for keep in counted]
        return Pack(ids, types, attended, lengths, [spec.top for spec in specs]), counted

    def _pool(self, spec: EncoderSpec, states: dict[int, Vectors], counted: NDArray[np.bool_] | None) -> Vectors:
        if spec.pooling == "cls-pooled":
            return pool_classifier(states[spec.top], *self._poolers[spec.folder])
        return pool(spec.pooling, [states[layer] for layer in spec.layers], counted)

    def _finished(self, items: Sequence[Item], pooled: list[Vectors]) -> list[Vectors]:
        """What was pooled for the items, normalised where their encoder does: all of an encoder's at once."""
        by_encoder: dict[int, list[int]] = {}
        for number, (encoder, _, _) in enumerate(items):
            by_encoder.setdefault(encoder, []).append(number)
        for encoder, numbers in by_encoder.items():
            if self._specs[encoder].normalize:
                for number, vectors in zip(numbers, normalized([pooled[number] for number in numbers]), strict=True):
                    pooled[number] = vectors
        return pooled

    def _check(self, checkpoint: Checkpoint) -> None:
        """Every encoder on the golden texts, all in one mixed batch, against the float32 reference."""
        tokenizer = Tokenizer.load(checkpoint.folder, min(spec.max_length for spec in self._specs))
        golden = tokenizer.encode_batch(numerics.golden_texts(self.numerics))
        items: list[Item] = [(encoder, tokens.ids, tokens.types) for encoder in range(len(self._specs)) for tokens in golden]
        got = self.run(items).vectors
        _, counted = self._pack(items)
        layers = {layer for spec in self._specs for layer in spec.layers}
        references: dict[tuple[bool, int], dict[int, Vectors]] = {}
        pooled = []
        for number, ((encoder, ids, _), keep) in enumerate(zip(items, counted, strict=True)):
            spec = self._specs[encoder]
            known = spec.mask_special, number % len(golden)
            if known not in references:
                references[known] = reference.hidden_states(checkpoint, ids, layers, attended=keep)
            pooled.append(self._pool(spec, references[known], keep))
        truth = self._finished(items, pooled)
        for encoder, spec in enumerate(self._specs):
            its_own = slice(encoder * len(golden), (encoder + 1) * len(golden))
            numerics.check_vectors(spec.name, self.numerics, got[its_own], truth[its_own])


def _openvino(checkpoint: Checkpoint, specs: Sequence[EncoderSpec], precision: str, threads: int) -> Engine:
    if precision == "f16":
        raise InvalidInput("--precision f16 is for --engine torch on a CUDA device: use auto, bf16 or f32",
                           detail={"precision": precision})
    from embedding_service.model.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(checkpoint, _layers(specs), [spec.top for spec in specs], precision=precision, threads=threads)


def _torch(checkpoint: Checkpoint, specs: Sequence[EncoderSpec], precision: str, threads: int) -> Engine:
    try:
        from embedding_service.model.torch_engine import TorchEngine
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise Failed("--engine torch needs PyTorch, which is not installed: pip install 'twohop[cuda]'",
                     detail={"extra": "cuda", "module": "torch"}) from error

    return TorchEngine(checkpoint, _layers(specs), [spec.top for spec in specs], precision=precision, threads=threads)


def _layers(specs: Sequence[EncoderSpec]) -> list[int]:
    """Whose hidden states are needed."""
    return sorted({layer for spec in specs for layer in spec.layers})
