"""`embedding-service convert`: a Google TensorFlow checkpoint becomes a Hugging Face folder, once, without TensorFlow.

Kernels are transposed, heads and the optimizer's slots are left out, every tensor's checksum is checked. The folder is made
beside the target and renamed when it is whole, so that a killed conversion leaves no half model behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedding_service.model.checkpoint import Architecture, architecture_of, read_json, stored_shape, tensor_names
from embedding_service.model.google_checkpoint import GoogleCheckpoint
from embedding_service.model.safetensors_file import write_safetensors
from embedding_service.model.wordpiece import read_vocabulary
from twohop.errors import Failed

WRITTEN = ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
# What google-research/bert says about its own releases (tokenization.py, validate_case_matches_checkpoint).
_LOWERCASE = re.compile(r"(?<![a-z])(uncased|multilingual|chinese)_L-")
_CASED = re.compile(r"(?<![a-z])(multi_)?cased_L-")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was decided on the way. `reason`: why texts are, or are not, made lower case."""

    checkpoint: Path
    lowercase: bool
    reason: str
    tensors: int
    left_out: int


def convert(
    source: Path, target: Path, *, lowercase: bool | None = None, force: bool = False, progress: Callable[[int, int], None]
) -> Conversion:
    """`source`: a folder with bert_config.json, vocab.txt and one checkpoint, or the checkpoint's own path in it. `lowercase`
    None: as its name or its vocabulary says. `progress` is told bytes written and bytes in all.

    Raises Failed, naming the file and the remedy, if the source is no BERT, is damaged, or the target is there already.
    """
    prefix = _checkpoint(source)
    folder = prefix.parent
    config = _needed(folder / "bert_config.json", read_json)
    config = {"model_type": "bert", "type_vocab_size": 16, "layer_norm_eps": 1e-12, **config}   # what Google's code presumes
    architecture = architecture_of(config, folder / "bert_config.json")
    vocabulary = _needed(folder / "vocab.txt", read_vocabulary)
    if len(vocabulary) > architecture.vocabulary:
        raise _failed(folder / "vocab.txt", f"has {len(vocabulary)} tokens, bert_config.json says {architecture.vocabulary}: "
                                            "it belongs to another model")
    lower, reason = (lowercase, "as asked") if lowercase is not None else _case(folder, vocabulary)
    checkpoint = GoogleCheckpoint(prefix)
    shapes = _shapes(checkpoint, architecture)
    _refuse_existing(target, force)
    with _beside(target) as partial:
        _write_json(partial / "config.json", {"architectures": ["BertModel"], **config})
        _write_json(partial / "tokenizer_config.json", {"do_lower_case": lower, "tokenizer_class": "BertTokenizer"})
        shutil.copyfile(folder / "vocab.txt", partial / "vocab.txt")
        _write_weights(partial / "model.safetensors", checkpoint, shapes, progress)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    return Conversion(prefix, lower, reason, len(shapes), len(checkpoint.entries) - len(shapes))


def google_name(name: str) -> str:
    """`encoder.layer.0.output.dense.weight` -> `bert/encoder/layer_0/output/dense/kernel`."""
    if name.endswith("_embeddings.weight"):
        name = name.removesuffix(".weight")
    elif name.endswith("LayerNorm.weight"):
        name = name.removesuffix("weight") + "gamma"
    elif name.endswith("LayerNorm.bias"):
        name = name.removesuffix("bias") + "beta"
    elif name.endswith(".weight"):
        name = name.removesuffix("weight") + "kernel"
    return "bert/" + re.sub(r"layer\.(\d+)", r"layer_\1", name).replace(".", "/")


def _checkpoint(source: Path) -> Path:
    """The prefix of the one checkpoint meant."""
    if not source.is_dir():
        prefix = source.with_name(re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", source.name))
        if prefix.with_name(f"{prefix.name}.index").is_file():
            return prefix
        raise _failed(source, "is neither a folder nor a TensorFlow checkpoint (PATH.index, PATH.data-…)")
    found = [path.with_suffix("") for path in sorted(source.glob("*.index"))]
    usual = source / "bert_model.ckpt"
    if usual in found:
        return usual
    if len(found) > 1:
        names = ", ".join(str(path) for path in found[:4])
        raise _failed(source, f"has {len(found)} checkpoints: name one of them as the source, such as {names}")
    if not found:
        remedy = ": it is a Hugging Face folder already" if (source / "config.json").is_file() else ""
        raise _failed(source, "has no TensorFlow checkpoint (needed: bert_model.ckpt.index, bert_model.ckpt.data-00000-of-00001, "
                              f"bert_config.json, vocab.txt){remedy}")
    return found[0]


def _shapes(checkpoint: GoogleCheckpoint, of: Architecture) -> dict[str, tuple[int, ...]]:
    """BERT's name -> shape of every tensor to write, as bert_config.json asks for them. The pooler may be missing."""
    shapes = {}
    for name in tensor_names(of.layers, pooler=True):
        stored = checkpoint.entries.get(google_name(name))
        if stored is None and name.startswith("pooler"):
            continue
        if stored is None:
            raise _failed(checkpoint.index, f"lacks {google_name(name)}: not a BERT, or not the one of bert_config.json")
        shapes[name] = stored_shape(name, of)
        expected = shapes[name][::-1] if google_name(name).endswith("/kernel") else shapes[name]
        if stored.shape != expected:
            raise _failed(checkpoint.index, f"has {google_name(name)} of shape {list(stored.shape)}, bert_config.json needs "
                                            f"{list(expected)}")
    return shapes


def _write_weights(
    path: Path, checkpoint: GoogleCheckpoint, shapes: dict[str, tuple[int, ...]], progress: Callable[[int, int], None]
) -> None:
    written, total = 0, 4 * sum(int(np.prod(shape)) for shape in shapes.values())

    def read(name: str) -> NDArray[np.float32]:
        nonlocal written
        tensor = checkpoint.float32(google_name(name))
        written += 4 * tensor.size
        progress(written, total)
        return tensor.T if google_name(name).endswith("/kernel") else tensor

    write_safetensors(path, shapes, read)


def _case(folder: Path, vocabulary: list[str]) -> tuple[bool, str]:
    """Google's checkpoints do not say it; the folder's name does in Google's releases, capitals in the vocabulary in others."""
    name = folder.resolve().name
    if _LOWERCASE.search(name) or _CASED.search(name):
        return _CASED.search(name) is None, f"as the folder's name {name!r} says"
    capital = sum(1 for token in vocabulary if not token.startswith("[") and re.search("[A-Z]", token))
    is_cased = 100 * capital > len(vocabulary)
    return not is_cased, f"{capital} of {len(vocabulary)} tokens in vocab.txt have capitals"


def _refuse_existing(target: Path, force: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise _failed(target, "exists already: choose another target, or say --force to replace it")
    others = [path.name for path in target.iterdir() if path.name not in WRITTEN] if target.is_dir() else [target.name]
    if others or target.is_symlink():
        raise _failed(target, f"is not a folder that convert made (it holds {', '.join(others[:3])}): remove it yourself")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder beside the target, ours alone while open; what a killed run left in it is overwritten."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.mkdir(exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _failed(target, "is being written by another convert") from error
        try:
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _needed(path: Path, read: Callable[[Path], Any]) -> Any:
    if not path.is_file():
        raise _failed(path, "is missing: it belongs beside the checkpoint")
    return read(path)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _failed(path: Path, what: str) -> Failed:
    return Failed(f"{path} {what}", detail={"file": str(path)})
