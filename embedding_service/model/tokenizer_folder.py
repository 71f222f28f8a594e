"""Which tokenizer a model's folder holds: tokenizer.json of any kind that frames texts as BERT does, else vocab.txt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from embedding_service.model.checkpoint import read_json
from embedding_service.model.pieces import Pieces, frame_of
from embedding_service.model.subwords import Subwords
from embedding_service.model.wordpiece import WordPiece, from_vocabulary, is_bert
from twohop.errors import Failed

# Files of tokenizers that only transformers can turn into a tokenizer.json.
SOURCES = ("sentencepiece.bpe.model", "spiece.model", "merges.txt", "vocab.json")


def load_pieces(folder: Path) -> Pieces:
    """Raises Failed, naming the file, for anything that cannot tokenise for a BERT."""
    path = folder / "tokenizer.json"
    if path.is_file():
        library, parts = _from_file(path), read_json(path)
    elif (folder / "vocab.txt").is_file():
        path = folder / "vocab.txt"
        library = from_vocabulary(path)
        parts = json.loads(library.to_str())
    else:
        what = f"{folder} has no tokenizer: needed tokenizer.json or vocab.txt{_remedy(folder)}"
        raise Failed(what, detail={"folder": str(folder)})
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = False
    _check_unknown(parts, library, path)
    try:
        frame = frame_of(library)
    except Exception as error:  # the library raises plain Exception for what it cannot tokenise
        raise _failed(path, f"it cannot tokenise 'a': {error}") from error
    if frame is None:
        raise _failed(path, "a text does not become [CLS] a [SEP], or <s> a </s>, and a pair the like")
    return WordPiece(library, frame, parts) if is_bert(parts, frame) else Subwords(library, frame, parts)


def _from_file(path: Path) -> Any:
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for whatever it cannot read
        raise Failed(f"cannot read {path}: {error}", detail={"file": str(path)}) from error


def _check_unknown(parts: dict[str, Any], library: Any, path: Path) -> None:
    """The library finds out at the first unknown word, in the middle of a request."""
    model = parts["model"]
    unknown = model.get("unk_token")
    if model.get("type") in ("WordPiece", "WordLevel") and library.token_to_id(str(unknown)) is None:
        raise _failed(path, f"its vocabulary has no {unknown}")


def _remedy(folder: Path) -> str:
    if not any((folder / name).exists() for name in SOURCES):
        return ""
    return " (make tokenizer.json with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))"


def _failed(path: Path, what: str) -> Failed:
    return Failed(f"{path} is not a tokenizer this version can serve: {what}", detail={"file": str(path)})
