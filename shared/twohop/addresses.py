"""Addresses as people write them: `HOST:PORT[/NAME]`, `[::1]:50051/rich`, several in a sequence or joined by commas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from twohop.errors import InvalidInput

_FORM = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})(/(?P<name>[^/\s]*))?")


@dataclass(frozen=True)
class Address:
    host: str                           # IPv6 in brackets
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return self.host in ("localhost", "[::1]") or self.host.startswith("127.")


def parse(given: str | Sequence[str]) -> tuple[tuple[Address, ...], str]:
    """The addresses, without repeats, and the encoder that they name ("" for none). Raises InvalidInput for another form
    and for addresses that name different encoders."""
    parts = [part.strip() for text in ([given] if isinstance(given, str) else given) for part in text.split(",")]
    if not any(parts):
        raise InvalidInput("no address: give HOST:PORT, such as 127.0.0.1:50051")
    read = [_parse_one(part) for part in parts if part]
    names = {name for _, name in read}
    if len(names) > 1:
        raise InvalidInput(f"the addresses of one service name different encoders: {', '.join(sorted(names))}")
    return tuple(dict.fromkeys(address for address, _ in read)), names.pop()


def _parse_one(text: str) -> tuple[Address, str]:
    found = _FORM.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise InvalidInput(
            f"'{text}' is no address: give HOST:PORT or HOST:PORT/NAME, no http://, such as 127.0.0.1:50051 or [::1]:50051/rich",
            detail={"address": text},
        )
    return Address(found["host"], int(found["port"])), found["name"] or ""
