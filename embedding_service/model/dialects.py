"""Models whose graph is BERT's under other names: config.json and tensor names put into BERT's words, so that no engine knows.

BERT's own, RoBERTa's family (positions start after the padding's id, one token type, other tokenizers), DistilBERT (no token
types, other words) and ELECTRA where it does not project. Everything else is refused by what is different about it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Dialect:
    """`prefixes`: what saving a whole task model adds to a tensor's name. `keys`: BERT's key in config.json -> this model's.
    `fixed`: values in BERT's terms that this model has no key for. `names`: patterns of tensor names and BERT's for them."""

    prefixes: tuple[str, ...]
    keys: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[tuple[re.Pattern[str], str], ...] = ()
    skips_padding: bool = False         # the rows of the position table up to the padding's id are never used

    def config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """config.json in BERT's terms; what it does not say stays unsaid."""
        said = {ours: config[theirs] for ours, theirs in self.keys.items() if theirs in config}
        return {key: value for key, value in config.items() if key not in self.keys} | said | dict(self.fixed)

    def first_position(self, config: Mapping[str, Any]) -> int:
        """The row of the position table that a text's first token takes."""
        if not self.skips_padding:
            return 0
        padding = config.get("pad_token_id")
        return (1 if padding is None else int(padding)) + 1

    def name(self, stored: str) -> str:
        """BERT's name, without a prefix, of a stored tensor; gamma and beta are what the first BERT ports said."""
        name = next((stored.removeprefix(prefix) for prefix in self.prefixes if stored.startswith(prefix)), stored)
        for pattern, ours in self.names:
            name = pattern.sub(ours, name)
        return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _renamed(parts: Mapping[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(rf"^transformer\.layer\.(\d+)\.{re.escape(theirs)}\."), rf"encoder.layer.\1.{ours}.")
                 for theirs, ours in parts.items())


_BERT = Dialect(("bert.",))
_ROBERTA = Dialect(("roberta.", "camembert."), skips_padding=True)
_DISTILBERT = Dialect(
    ("distilbert.",),
    keys={"num_hidden_layers": "n_layers", "hidden_size": "dim", "num_attention_heads": "n_heads",
          "intermediate_size": "hidden_dim", "hidden_act": "activation"},
    fixed={"type_vocab_size": 0, "layer_norm_eps": 1e-12},
    names=_renamed({
        "attention.q_lin": "attention.self.query", "attention.k_lin": "attention.self.key",
        "attention.v_lin": "attention.self.value", "attention.out_lin": "attention.output.dense",
        "sa_layer_norm": "attention.output.LayerNorm", "ffn.lin1": "intermediate.dense", "ffn.lin2": "output.dense",
        "output_layer_norm": "output.LayerNorm",
    }),
)

DIALECTS: Mapping[str, Dialect] = {
    "bert": _BERT, "roberta": _ROBERTA, "xlm-roberta": _ROBERTA, "camembert": _ROBERTA, "distilbert": _DISTILBERT,
    "electra": Dialect(("electra.",)),
}
_DIFFERENT = {
    "mpnet": "its attention has relative positions", "albert": "its layers share one set of weights",
    "deberta": "its attention has relative positions", "deberta-v2": "its attention has relative positions",
    "modernbert": "its positions are rotary", "nomic_bert": "its positions are rotary", "xlnet": "it has no absolute positions",
}
# What a config.json of these models may say that changes the graph.
_PLAIN = {"position_embedding_type": "absolute", "is_decoder": False, "add_cross_attention": False}


def dialect_of(config: Mapping[str, Any]) -> Dialect:
    """Raises ValueError, saying why, for a config.json of a model that is not BERT's graph."""
    kind = str(config.get("model_type", "bert"))
    if kind not in DIALECTS:
        why = f": {_DIFFERENT[kind]}" if kind in _DIFFERENT else ""
        raise ValueError(f"model_type {kind!r} is not BERT's graph{why}; supported: {', '.join(DIALECTS)}")
    for key, plain in _PLAIN.items():
        if config.get(key) not in (None, plain):
            raise ValueError(f"config.json says {key}={config[key]!r}; only {plain!r} is supported")
    narrow, hidden = config.get("embedding_size"), config.get("hidden_size")
    if narrow not in (None, hidden):
        raise ValueError(f"config.json says embedding_size={narrow} and hidden_size={hidden}: the projection between them is not "
                         "supported")
    return DIALECTS[kind]
