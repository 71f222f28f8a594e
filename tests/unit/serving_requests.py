"""What tests of the embedded model server's requests share."""

from __future__ import annotations

from typing import Any

import pytest

from head_service.model_server.status import Code, ServingError
from twohop.wire import tfserving_pb2 as wire


def info(name: str, dtype: int = wire.DT_FLOAT) -> wire.TensorInfo:
    return wire.TensorInfo(name=f"{name}:0", dtype=dtype)                # type: ignore[arg-type]


def refused(work: Any) -> tuple[Code, str]:
    with pytest.raises(ServingError) as raised:
        work()
    return raised.value.code, raised.value.message
