"""What one request may be. Above: InvalidInput (texts) or TooLarge (bytes); clients know the limits and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twohop.errors import InvalidInput, TooLarge

# Upper bound of what a reply holds beside its vectors: three counts per text, and the fields that are there once.
REPLY_BYTES_PER_TEXT, REPLY_BYTES = 16, 512


@dataclass(frozen=True)
class Limits:
    max_texts: int = 2048
    max_request_bytes: int = 8 * 1024 * 1024
    max_response_bytes: int = 64 * 1024 * 1024

    def check_texts(self, texts: Sequence[str], pairs: Sequence[str]) -> None:
        """Raises InvalidInput, naming the text where it is one's fault, or TooLarge."""
        if not texts:
            raise InvalidInput("no texts: send at least one")
        if len(texts) > self.max_texts:
            detail = {"texts": len(texts), "max_texts": self.max_texts}
            raise InvalidInput(f"{len(texts)} texts in one request; at most {self.max_texts}: split it", detail=detail)
        if pairs and len(pairs) != len(texts):
            raise InvalidInput(f"{len(pairs)} pairs for {len(texts)} texts: send none, or one per text (empty: no second)")
        for index, text in enumerate(texts):
            if not text or text.isspace():
                what = "is only white space" if text else "is empty"
                raise InvalidInput(f"text {index} {what}: leave it out, or send words", detail={"index": index})
        self._check_bytes(texts, pairs)

    def _check_bytes(self, texts: Sequence[str], pairs: Sequence[str]) -> None:
        characters = sum(map(len, texts)) + sum(map(len, pairs))
        if characters * 4 <= self.max_request_bytes:        # no character takes more in UTF-8
            return
        size = sum(len(text.encode("utf-8", "surrogatepass")) for some in (texts, pairs) for text in some)
        if size > self.max_request_bytes:
            raise TooLarge(
                f"{size} bytes of text in one request; at most {self.max_request_bytes}: split it, or send shorter texts",
                detail={"bytes": size, "max_request_bytes": self.max_request_bytes},
            )

    def check_reply(self, vectors_bytes: int, texts: int) -> None:
        """Before anything is computed. Raises TooLarge."""
        size = vectors_bytes + REPLY_BYTES_PER_TEXT * texts + REPLY_BYTES
        if size > self.max_response_bytes:
            raise TooLarge(
                f"the reply would have {size} bytes; at most {self.max_response_bytes}: send fewer texts, or ask for float16",
                detail={"bytes": size, "max_response_bytes": self.max_response_bytes},
            )
