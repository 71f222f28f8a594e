"""The tiny BERT's own weights under the names and config keys of other models, written out from those models' files and not
from the loader's tables: whoever reads them must see the same BERT."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from tiny_bert import CONFIG, tensors, write

LAYER = {
    "attention.self.query": "attention.q_lin", "attention.self.key": "attention.k_lin", "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin", "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1", "output.dense": "ffn.lin2", "output.LayerNorm": "output_layer_norm",
}
FIRST_TYPE = tensors()["embeddings.token_type_embeddings.weight"][0]      # [16]
DISTILBERT: dict[str, Any] = {
    "model_type": "distilbert", "n_layers": 4, "dim": 16, "n_heads": 2, "hidden_dim": 32, "vocab_size": 40,
    "max_position_embeddings": 24, "activation": "gelu", "sinusoidal_pos_embds": False, "tie_weights_": True,
}


def write_distilbert(folder: Path, prefix: str = "distilbert.") -> Path:
    weights = {}
    for name, value in tensors().items():
        if name.startswith("pooler") or "token_type" in name:
            continue
        match = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", name)
        weights[prefix + (f"transformer.layer.{match[1]}.{LAYER[match[2]]}.{match[3]}" if match else name)] = value
    weights["vocab_transform.weight"] = np.zeros((16, 16), np.float32)
    write(folder, weights=weights)
    return replace_config(folder, DISTILBERT)


def write_roberta(folder: Path, kind: str = "roberta", prefix: str = "roberta.", padding: int = 1) -> Path:
    """Rows up to the padding's id are never looked up: they are noise here. One token type."""
    weights = {prefix + name: value for name, value in tensors().items()}
    positions, types = (f"{prefix}embeddings.{table}_embeddings.weight" for table in ("position", "token_type"))
    weights[positions] = np.concatenate([np.full((padding + 1, 16), 7e3, np.float32), weights[positions]])
    weights[types] = weights[types][:1]
    weights["lm_head.bias"] = np.zeros(40, np.float32)
    write(folder, weights=weights)
    return replace_config(folder, {**CONFIG, "model_type": kind, "type_vocab_size": 1, "pad_token_id": padding,
                                   "max_position_embeddings": 24 + padding + 1})


def write_one_type(folder: Path, row: np.ndarray) -> Path:
    """A BERT both of whose token types are `row` [16]: what the others are equal to."""
    weights = tensors()
    weights["embeddings.token_type_embeddings.weight"] = np.stack([row, row])
    return write(folder, weights=weights)


def replace_config(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder
