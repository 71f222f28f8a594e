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
                f"--engine {engine} --precision {precision} is not built yet; there are the engines {', '.join(ENGINES)} and the "
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
        results: list[Vectors | None] = [None] * len(items)
        computed = 0
        for folder, engine in self._engines.items():
            own = [number for number, (encoder, _, _) in enumerate(items) if self._specs[encoder].folder == folder]
            if not own:
                continue
            pack, counted = self._pack([items[number] for number in own])
            for part in engine.run(pack, stream):
                computed += next(len(array) for array in part.states.values())
                for sequence, start in zip(part.sequences, part.starts, strict=True):
                    rows = slice(start, start + pack.lengths[sequence])
                    states = {layer: array[rows] for layer, array in part.states.items()}
                    spec = self._specs[items[own[sequence]][0]]
                    results[own[sequence]] = self._vectors(spec, states, counted[sequence])
        vectors = [each for each in results if each is not None]
        return Output(vectors, computed - sum(len(ids) for _, ids, _ in items))

    def _refuse_impossible(self, number: int, item: Item) -> None:
        encoder, ids, _ = item
        if not 0 <= encoder < len(self._specs):
            raise ModelError(f"item {number} names encoder {encoder} of {len(self._specs)}", detail={"item": number})
        spec = self._specs[encoder]
        most, vocabulary = spec.architecture.positions, spec.architecture.vocabulary
        if not 0 < len(ids) <= most:
            raise ModelError(f"item {number} has {len(ids)} tokens; {spec.name} takes 1 to {most}", detail={"item": number})
        if int(ids.min()) < 0 or int(ids.max()) >= vocabulary:
            raise ModelError(f"item {number} has a token outside {spec.name}'s {vocabulary}", detail={"item": number})

    def _pack(self, items: Sequence[Item]) -> tuple[Pack, list[NDArray[np.bool_] | None]]:
        """The items end to end, and for each which tokens count in pooling (None: all)."""
        specs = [self._specs[encoder] for encoder, _, _ in items]
        lengths = [len(ids) for _, ids, _ in items]
        starts = np.cumsum([0, *lengths[:-1]])
        counted: list[NDArray[np.bool_] | None] = []
        attended = np.ones(sum(lengths), np.bool_)
        segments = np.zeros(sum(lengths), np.int32)
        for spec, start, (_, ids, types) in zip(specs, starts, items, strict=True):
            rows = slice(start, start + len(ids))
            keep = counted_tokens(len(ids), types) if spec.mask_special else None
            counted.append(keep)
            if types is not None:
                segments[rows] = types
            if keep is not None and keep.any():     # where nothing counts, bert-as-service's softmax masks nothing either
                attended[rows] = keep
        positions = np.arange(len(attended), dtype=np.int32) - np.repeat(starts, lengths).astype(np.int32)
        tokens = np.concatenate([ids for _, ids, _ in items]).astype(np.int32, copy=False)
        return Pack(tokens, segments, positions, attended, starts, lengths, [spec.top for spec in specs]), counted

    def _vectors(self, spec: EncoderSpec, states: dict[int, Vectors], counted: NDArray[np.bool_] | None) -> Vectors:
        if spec.pooling == "cls-pooled":
            vectors = pool_classifier(states[spec.top], *self._poolers[spec.folder])
        else:
            vectors = pool(spec.pooling, [states[layer] for layer in spec.layers], counted)
        return normalized(vectors) if spec.normalize else vectors

    def _check(self, checkpoint: Checkpoint) -> None:
        """Every encoder on the golden texts, all in one mixed batch, against the float32 reference."""
        tokenizer = Tokenizer.load(checkpoint.folder, min(spec.max_length for spec in self._specs))
        golden = tokenizer.encode_batch(numerics.golden_texts(self.numerics))
        items: list[Item] = [(encoder, tokens.ids, tokens.types) for encoder in range(len(self._specs)) for tokens in golden]
        got = self.run(items).vectors
        _, counted = self._pack(items)
        layers = {layer for spec in self._specs for layer in spec.layers}
        references: dict[tuple[bool, int], dict[int, Vectors]] = {}
        for encoder, spec in enumerate(self._specs):
            truth, first = [], encoder * len(golden)
            for number, tokens in enumerate(golden):
                keep, known = counted[first + number], (spec.mask_special, number)
                if known not in references:
                    references[known] = reference.hidden_states(checkpoint, tokens.ids, layers, attended=keep)
                truth.append(self._vectors(spec, references[known], keep))
            numerics.check_vectors(spec.name, self.numerics, got[first : first + len(golden)], truth)


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
