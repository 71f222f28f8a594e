"""BERT's own tokenizer: WordPiece after BERT's normalisation, out of tokenizer.json or vocab.txt, with what decides its output as
plain values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedding_service.model.checkpoint import read_json
from embedding_service.model.pieces import Frame, Pieces, added
from twohop.errors import Failed

SPECIALS = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
NEEDED = ("unk_token", "sep_token", "cls_token", "pad_token")


class WordPiece(Pieces):
    """`parts`: the content of a tokenizer.json that is_bert holds for."""

    def __init__(self, library: Any, frame: Frame, parts: Mapping[str, Any]) -> None:
        normalizer = parts["normalizer"]
        lowercase, strip = bool(normalizer["lowercase"]), normalizer["strip_accents"]
        self._max_word = int(parts["model"]["max_input_chars_per_word"])
        super().__init__(library, frame, {
            "kind": "wordpiece", "lowercase": lowercase, "strip_accents": lowercase if strip is None else bool(strip),
            "split_cjk": bool(normalizer["handle_chinese_chars"]), "specials_in_text": bool(added(library)),
            "max_word": self._max_word,
        })

    def is_overlong_word(self, text: str) -> bool:
        """Whether this is (part of) one word longer than the vocabulary is asked for."""
        words = self._words(text)
        return len(words) == 1 and len(words[0]) > self._max_word

    def _parts_before(self, char: str) -> bool:
        """Whether a word never goes on across this character: white space, punctuation, Chinese characters where those are
        split. The library itself is asked, so that both follow the same Unicode tables."""
        return not (char.isascii() and char.isalnum()) and len(self._words(f"a{char}a")) > 1

    def _words(self, text: str) -> list[str]:
        normal = self._library.normalizer.normalize_str(text)
        return [word for word, _ in self._library.pre_tokenizer.pre_tokenize_str(normal)]


def is_bert(parts: Mapping[str, Any], frame: Frame) -> bool:
    """Whether a tokenizer.json is BERT's tokenizer and nothing but it, so that WordPiece.identity says all there is to say."""
    model, normalizer, pre = (parts.get(part) or {} for part in ("model", "normalizer", "pre_tokenizer"))
    return bool(
        model.get("type") == "WordPiece" and model.get("continuing_subword_prefix") == "##"
        and normalizer.get("type") == "BertNormalizer" and normalizer.get("clean_text") is True
        and pre.get("type") == "BertPreTokenizer" and frame.between == (frame.sep,) and frame.typed
    )


def read_vocabulary(path: Path) -> list[str]:
    """The tokens of a vocab.txt, one a line. Raises Failed, naming the file, where that is no text."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Failed(f"cannot read {path}: {error}", detail={"file": str(path)}) from error
    tokens = [line.rstrip("\r\n") for line in text.split("\n")]
    return tokens[:-1] if tokens and not tokens[-1] else tokens


def from_vocabulary(path: Path) -> Any:
    """As transformers' BertTokenizerFast builds it: lower case unless tokenizer_config.json beside it says otherwise."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    beside = path.with_name("tokenizer_config.json")
    config = read_json(beside) if beside.is_file() else {}
    vocabulary = {token: index for index, token in enumerate(read_vocabulary(path))}
    special = {kind: _content(config.get(kind, usual)) for kind, usual in SPECIALS.items()}
    missing = [special[kind] for kind in NEEDED if special[kind] not in vocabulary]
    if missing:
        raise Failed(f"{path} has no {' and no '.join(missing)}: not a BERT vocabulary", detail={"file": str(path)})
    library = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"]))
    library.normalizer = normalizers.BertNormalizer(
        lowercase=config.get("do_lower_case", True), strip_accents=config.get("strip_accents"),
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
    )
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    cls, sep = special["cls_token"], special["sep_token"]
    library.post_processor = processors.BertProcessing((sep, vocabulary[sep]), (cls, vocabulary[cls]))
    library.add_special_tokens([AddedToken(token, normalized=False) for token in special.values() if token in vocabulary])
    return library


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)
