"""The `tokenizers` library behind one door: a BERT WordPiece tokenizer out of tokenizer.json or vocab.txt, what decides its
output as plain values, and a clear refusal of any other kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from embedding_service.model.checkpoint import read_json
from twohop.errors import Failed

SPECIALS = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}


class Encoding(Protocol):
    """What we use of the library's result; `ids` makes a list on every access, the length costs nothing."""

    ids: list[int]

    def __len__(self) -> int: ...


class WordPiece:
    """Word pieces without special tokens. `identity` and `vocabulary` are what the fingerprint hashes."""

    def __init__(self, library: Any, cls: int, sep: int, identity: dict[str, Any]) -> None:
        self.cls, self.sep = cls, sep
        self.identity = identity
        self._library = library
        self._parts: dict[str, bool] = {}
        self._joined = {pair for token in _added(library) for text in (token, token.lower()) for pair in pairwise(text)}

    @property
    def vocabulary(self) -> list[str]:
        tokens: dict[str, int] = self._library.get_vocab(with_added_tokens=True)
        return sorted(tokens, key=tokens.__getitem__)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.encode_lazily(texts)]

    def encode_lazily(self, texts: Sequence[str]) -> list[Encoding]:
        encodings: list[Encoding] = self._library.encode_batch_fast(list(texts), add_special_tokens=False)
        return encodings

    def parts_before(self, char: str) -> bool:
        """Whether a word never goes on across this character: white space, punctuation, Chinese characters where those are
        split. The library itself is asked, so that both follow the same Unicode tables."""
        if char not in self._parts:
            self._parts[char] = not (char.isascii() and char.isalnum()) and len(self._words(f"a{char}a")) > 1
        return self._parts[char]

    def is_overlong_word(self, text: str) -> bool:
        """Whether this is (part of) one word longer than the vocabulary is asked for: [UNK], however it goes on."""
        words = self._words(text)
        return len(words) == 1 and len(words[0]) > self.identity["max_word"]

    def joins(self, pair: str) -> bool:
        """Whether the two characters may stand inside one special token, such as `[` and `S` of `[SEP]`."""
        return tuple(pair) in self._joined or tuple(pair.lower()) in self._joined

    def _words(self, text: str) -> list[str]:
        normal = self._library.normalizer.normalize_str(text)
        return [word for word, _ in self._library.pre_tokenizer.pre_tokenize_str(normal)]


def load_wordpiece(folder: Path) -> WordPiece:
    """Raises Failed, naming the file, for anything that is not a BERT WordPiece tokenizer."""
    import tokenizers

    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            library = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception for whatever it cannot read
            raise Failed(f"cannot read {path}: {error}", detail={"file": str(path)}) from error
    elif (folder / "vocab.txt").is_file():
        path = folder / "vocab.txt"
        library = _from_vocabulary(path, folder)
    else:
        raise Failed(f"{folder} has no tokenizer: needed tokenizer.json or vocab.txt", detail={"folder": str(folder)})
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = False
    return _checked(library, path)


def _from_vocabulary(path: Path, folder: Path) -> Any:
    """As transformers' BertTokenizerFast builds it: lower case unless tokenizer_config.json says otherwise."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    tokens = [line.rstrip("\r\n") for line in path.read_text(encoding="utf-8").split("\n")]
    if tokens and not tokens[-1]:
        tokens.pop()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    special = {kind: _content(config.get(kind, usual)) for kind, usual in SPECIALS.items()}
    missing = [special[kind] for kind in ("unk_token", "sep_token", "cls_token") if special[kind] not in vocabulary]
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


def _checked(library: Any, path: Path) -> WordPiece:
    parts = json.loads(library.to_str())
    model, normalizer, pre = (parts.get(part) or {} for part in ("model", "normalizer", "pre_tokenizer"))
    unlike = [
        what for what, holds in (
            ("the model is not WordPiece", model.get("type") == "WordPiece"),
            ("word pieces do not go on with ##", model.get("continuing_subword_prefix") == "##"),
            ("the normalizer is not BertNormalizer", normalizer.get("type") == "BertNormalizer"),
            ("the normalizer keeps control characters (clean_text)", normalizer.get("clean_text") is True),
            ("the pre-tokenizer is not BertPreTokenizer", pre.get("type") == "BertPreTokenizer"),
        ) if not holds
    ]
    ends = library.encode("", add_special_tokens=True).ids
    if len(ends) != 2 or library.num_special_tokens_to_add(True) != 3:
        unlike.append("a text does not become [CLS] a [SEP], a pair [CLS] a [SEP] b [SEP]")
    if unlike:
        raise Failed(f"{path} is not a BERT tokenizer this version can serve: {'; '.join(unlike)}", detail={"file": str(path)})
    lowercase = bool(normalizer["lowercase"])
    strip = normalizer["strip_accents"]
    identity = {
        "kind": "wordpiece", "lowercase": lowercase, "strip_accents": lowercase if strip is None else bool(strip),
        "split_cjk": bool(normalizer["handle_chinese_chars"]), "specials_in_text": bool(_added(library)),
        "max_word": int(model["max_input_chars_per_word"]),
    }
    return WordPiece(library, ends[0], ends[1], identity)


def _added(library: Any) -> list[str]:
    return [token.content for token in library.get_added_tokens_decoder().values()]


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)
