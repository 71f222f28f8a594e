"""A BERT of a known size with weights of chance, to measure speed where the real weights are not at hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from embedding_service.model.checkpoint import read_architecture, stored_shape, tensor_names
from embedding_service.model.folder_defaults import packaged_folder

# layers, hidden, heads, intermediate, positions
SIZES = {
    "minilm": (6, 384, 12, 1536, 512),
    "bert-base": (12, 768, 12, 3072, 512),
    "bert-large": (24, 1024, 16, 4096, 512),
}
VOCABULARY = 30522          # of the packaged minilm, which is that of uncased BERT
SEED = 0


def write_random(folder: Path, size: str) -> Path:
    """A Hugging Face folder: float16 weights as BERT is initialised (normal, 0.02), always the same, and the packaged
    minilm's tokenizer. Raises Failed where that is not installed."""
    layers, hidden, heads, intermediate, positions = SIZES[size]
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        if (packaged_folder() / name).is_file():
            shutil.copy(packaged_folder() / name, folder / name)
    (folder / "config.json").write_text(json.dumps({
        "model_type": "bert", "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "intermediate_size": intermediate, "vocab_size": VOCABULARY, "max_position_embeddings": positions, "type_vocab_size": 2,
        "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    }))
    architecture = read_architecture(folder)
    random = np.random.default_rng(SEED)
    weights: dict[str, NDArray[np.float16]] = {}
    for name in tensor_names(layers, pooler=True):
        shape = stored_shape(name, architecture)
        if name.endswith(".bias"):
            weights[name] = np.zeros(shape, np.float16)
        elif "LayerNorm" in name:
            weights[name] = np.ones(shape, np.float16)
        else:
            weights[name] = (0.02 * random.standard_normal(shape, np.float32)).astype(np.float16)
    save_file(weights, folder / "model.safetensors")
    return folder
