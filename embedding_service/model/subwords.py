"""Tokenizers out of a tokenizer.json that are not BERT's WordPiece: byte-level BPE (RoBERTa), unigram (XLM-R, CamemBERT,
multilingual sentence-transformers) and whatever else frames a text as `cls a sep`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from embedding_service.model.pieces import Frame, Pieces

# White space at whose start a text may be cut, where the library agrees.
SPACES = " \t\n\r\u00a0\u3000"
_NEIGHBOURS = ("a", "1", "!", "é", "我")
# Truncation and padding do not count, nor how ids become text again.
_COUNTED = ("added_tokens", "model", "normalizer", "post_processor", "pre_tokenizer")


class Subwords(Pieces):
    """`parts`: the content of tokenizer.json."""

    def __init__(self, library: Any, frame: Frame, parts: Mapping[str, Any]) -> None:
        super().__init__(library, frame, identity_of(parts))
        self._swallowing = {token["content"][-1] for token in parts.get("added_tokens", ()) if token.get("rstrip")}

    def joins(self, pair: str) -> bool:
        """White space is cut off as a whole, and stays with a special token that swallows it."""
        return pair[0].isspace() or pair[0] in self._swallowing or super().joins(pair)

    def _parts_before(self, char: str) -> bool:
        if char not in SPACES:
            return False
        return all(self._halves(left, char + right) for left in _NEIGHBOURS for right in (*_NEIGHBOURS, f"{char}a"))

    def _halves(self, left: str, right: str) -> bool:
        whole, first, second = self.encode([left + right, left, right])
        return whole == first + second


def identity_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The kind, and one SHA-256 over all that decides which pieces a text has: those parts of tokenizer.json, keys sorted, no
    blanks, UTF-8. The two ways in which the library has written merges ("a b", ["a","b"]) are one."""
    counted = {key: parts.get(key) for key in _COUNTED}
    model = dict(parts["model"])
    if "merges" in model:
        model["merges"] = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    text = json.dumps({**counted, "model": model}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    kind = str(model.get("type", "unknown")).lower()
    return {"kind": kind, "sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}
