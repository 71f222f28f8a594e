"""Small tokenizers of the other kinds, trained on the spot by the tokenizers library: 40 tokens at most, to fit the tiny BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_level(prefix_space: bool = False) -> Any:
    """RoBERTa's: byte-level BPE, `<s> a </s></s> b </s>`; <mask> swallows the white space before it."""
    letters = {**{token: index for index, token in enumerate(SPECIAL[:4])}}
    for char in ["Ġ", "Ċ", *"abcdeht,.!", "Ã", "©", "th", "he", "Ġa", "Ġth"]:
        letters[char] = len(letters)
    letters["<mask>"] = len(letters)
    library = Tokenizer(models.BPE(letters, [("t", "h"), ("h", "e"), ("Ġ", "a"), ("Ġ", "th")], unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    library.add_special_tokens([*SPECIAL[:4], AddedToken("<mask>", lstrip=True, rstrip=False)])
    return library


def unigram() -> Any:
    """XLM-R's: unigram over words that start with ▁, the same frame as a template."""
    scores = [*((token, 0.0) for token in SPECIAL[:4]), ("▁", -2.0), *((char, -4.0) for char in "abcdeht,.!爱"),
              ("▁a", -2.5), ("th", -3.0), ("▁the", -2.2), ("he", -3.5)]
    library = Tokenizer(models.Unigram(scores, unk_id=3))
    library.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    library.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    library.add_special_tokens(SPECIAL[:4])
    return library


KINDS: dict[str, Any] = {
    "bpe": byte_level, "bpe with a space before": lambda: byte_level(prefix_space=True), "unigram": unigram,
}


def write_tokenizer(folder: Path, library: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    library.save(str(folder / "tokenizer.json"))
    return folder
