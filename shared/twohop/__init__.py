"""twohop: a text becomes a label in two network hops. This package is what callers import.

    with TwoHop("127.0.0.1:50051", "127.0.0.1:8500") as hops:
        for answer in hops.classify(["what a fine film"], "sentiment"):
            print(answer.label, answer.score)

The names below are loaded when first used, so that `import twohop` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twohop.aio import AsyncEmbeddingClient, AsyncHeadClient, AsyncTwoHop
    from twohop.chain import TwoHop
    from twohop.embedding import EmbeddingClient
    from twohop.errors import (
        Cancelled,
        DeadlineExceeded,
        EncoderMismatch,
        Failed,
        InvalidInput,
        ModelError,
        NotFound,
        Overloaded,
        TooLarge,
        TwoHopError,
        Unauthenticated,
        Unavailable,
    )
    from twohop.heads import HeadClient
    from twohop.types import (
        TLS,
        Classification,
        Classifications,
        Embeddings,
        Encoder,
        Encoders,
        HeadSignature,
        HeadStatus,
        Limits,
        TensorSpec,
    )

__version__ = "0.1.0"

_HOMES = {
    "twohop.aio": ("AsyncEmbeddingClient", "AsyncHeadClient", "AsyncTwoHop"),
    "twohop.chain": ("TwoHop",),
    "twohop.embedding": ("EmbeddingClient",),
    "twohop.heads": ("HeadClient",),
    "twohop.errors": (
        "Cancelled", "DeadlineExceeded", "EncoderMismatch", "Failed", "InvalidInput", "ModelError", "NotFound", "Overloaded",
        "TooLarge", "TwoHopError", "Unauthenticated", "Unavailable",
    ),
    "twohop.types": (
        "TLS", "Classification", "Classifications", "Embeddings", "Encoder", "Encoders", "HeadSignature", "HeadStatus", "Limits",
        "TensorSpec",
    ),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "TLS",
    "AsyncEmbeddingClient",
    "AsyncHeadClient",
    "AsyncTwoHop",
    "Cancelled",
    "Classification",
    "Classifications",
    "DeadlineExceeded",
    "EmbeddingClient",
    "Embeddings",
    "Encoder",
    "EncoderMismatch",
    "Encoders",
    "Failed",
    "HeadClient",
    "HeadSignature",
    "HeadStatus",
    "InvalidInput",
    "Limits",
    "ModelError",
    "NotFound",
    "Overloaded",
    "TensorSpec",
    "TooLarge",
    "TwoHop",
    "TwoHopError",
    "Unauthenticated",
    "Unavailable",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'twohop' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
