"""Checks on settings that every long-running process has. Values come from click (flags, mirrored in the
environment); each process keeps them in frozen dataclasses of its own."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from twohop.errors import InvalidInput


@dataclass(frozen=True)
class Security:
    """Who may call: bearer keys (one a line in `key_file`) and the server's certificate chain and key, PEM."""

    key_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False

    def check(self, host: str) -> None:
        """Raises InvalidInput where this would listen beyond this machine without keys and TLS, or TLS is half given."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InvalidInput("--tls-cert and --tls-key go together: give both, or neither")
        protected = self.key_file is not None and self.tls_cert is not None
        if not (is_loopback(host) or protected or self.insecure):
            raise InvalidInput(
                f"--host {host} is reachable from other machines: give --key-file, --tls-cert and --tls-key, "
                "or --insecure where the network itself is trusted"
            )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
