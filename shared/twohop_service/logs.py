"""Logging of the long-running processes: one line an event, on stderr, UTC, so that stdout stays for results."""

from __future__ import annotations

import logging
import sys
import time


def set_up(level: str = "info") -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("uvicorn.access", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
