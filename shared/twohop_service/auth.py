"""Who may call: bearer keys, compared in constant time, and the server's side of TLS."""

from __future__ import annotations

import hmac
from pathlib import Path

from twohop.errors import Failed, Unauthenticated


class Keys:
    """The accepted bearer keys; without any, everybody is let in."""

    def __init__(self, keys: tuple[str, ...] = ()) -> None:
        self._keys = tuple(key.encode() for key in keys)

    @classmethod
    def read(cls, path: Path | None) -> Keys:
        """One key a line, UTF-8; blank lines and lines that start with # are skipped. Raises Failed for a file that cannot be
        read or holds no key."""
        if path is None:
            return cls()
        try:
            lines = _read(path).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise Failed(f"{path}: byte {error.start} is not UTF-8; is it the file with the keys?") from error
        keys = tuple(key for line in lines if (key := line.strip()) and not key.startswith("#"))
        if not keys:
            raise Failed(f"{path}: no key in it; write one a line")
        return cls(keys)

    def check(self, authorization: str | None) -> None:
        """Raises Unauthenticated unless `authorization` is `Bearer KEY` with an accepted key."""
        if not self._keys:
            return
        scheme, _, given = (authorization or "").partition(" ")
        sent = given.strip().encode("latin-1", "replace")       # as which headers are read, whatever they hold
        known = [hmac.compare_digest(sent, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(known):
            raise Unauthenticated("a valid key is needed: send 'authorization: Bearer KEY'")


def read_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """(private key, certificate chain), PEM, in the order that grpc.ssl_server_credentials takes. Raises Failed, also for a
    key that is encrypted: OpenSSL would ask the terminal for its pass phrase."""
    private = _read(key)
    if b"ENCRYPTED" in private:
        raise Failed(f"{key} is encrypted, and nobody is there to ask for its pass phrase: decrypt it with openssl pkey")
    return private, _read(certificate)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failed(f"{path}: cannot be read ({error.strerror})") from error
