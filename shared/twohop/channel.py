"""The one place that opens gRPC channels: options, TLS and the bearer token."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import grpc.aio

from twohop.addresses import Address
from twohop.errors import Failed, InvalidInput
from twohop.types import TLS

_SERVICE_CONFIG = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})


def options(address: Address, tls: TLS | None) -> list[tuple[str, str | int]]:
    chosen: list[tuple[str, str | int]] = [
        ("grpc.max_send_message_length", -1),       # the service's limits decide, not this side's
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_retries", 0),                 # retry.py is the only policy
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.service_config", _SERVICE_CONFIG),   # a name with several A records: all of them in turn
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
        # A service that restarts is found again within a second, and one that swallows packets is given up after three.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.min_reconnect_backoff_ms", 3_000),
        # Servers by default (TF-Serving too) hang up on pings more often than every five minutes. What matters is the
        # time-out: it becomes TCP_USER_TIMEOUT, so that a peer that vanished is noticed by unacknowledged data.
        ("grpc.keepalive_time_ms", 310_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if address.is_loopback:
        chosen.append(("grpc.enable_http_proxy", 0))    # http_proxy is not meant for this machine
    if tls is not None and tls.server_name is not None:
        chosen.append(("grpc.ssl_target_name_override", tls.server_name))
    return chosen


def open_blocking(address: Address, tls: TLS | None) -> grpc.Channel:
    """Opens lazily: the connection is made by the first call. Raises Failed for certificate files that cannot be read."""
    if tls is None:
        return grpc.insecure_channel(_target(address), options(address, tls))
    return grpc.secure_channel(_target(address), _credentials(tls), options(address, tls))


def open_async(address: Address, tls: TLS | None) -> grpc.aio.Channel:
    """The same for asyncio; the channel belongs to the running loop."""
    if tls is None:
        return grpc.aio.insecure_channel(_target(address), options(address, tls))
    return grpc.aio.secure_channel(_target(address), _credentials(tls), options(address, tls))


def metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """What goes with every call. Raises InvalidInput for a token that no header can carry."""
    if token is None:
        return ()
    if not (token.isascii() and token.isprintable() and token.strip()):
        raise InvalidInput("the token must be printable ASCII without line breaks")
    return (("authorization", f"Bearer {token.strip()}"),)


def _target(address: Address) -> str:
    return f"dns:///{address}"


def _credentials(tls: TLS) -> grpc.ChannelCredentials:
    if (tls.cert is None) != (tls.key is None):
        raise InvalidInput("a client certificate and its key go together: give both, or neither")
    return grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.cert))


def _read(path: Path | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise Failed(f"{path}: cannot be read ({error.strerror})", detail={"path": str(path)}) from error
