"""Opening a version: the SavedModel, then its warm-up requests, so that no caller pays for the first run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from head_service.model_server.model import NO_TIMEOUT_MS, Model
from head_service.model_server.requests.predict import predict
from head_service.model_server.settings import AnswerSettings, SessionSettings
from head_service.model_server.status import Code, ServingError, invalid
from head_service.repository.layout import WARMUP
from twohop.wire import tfserving_pb2 as wire

log = logging.getLogger(__name__)

MAX_RECORDS = 1000

Records = Callable[[str], Iterator[bytes]]


def load(path: str, settings: SessionSettings, warmup_iterations: int, answers: AnswerSettings) -> Model:
    """The version in the folder `path`, warm. A warm-up that fails is a load that fails. Raises ServingError."""
    from head_service.model_server.session import open_model, records

    model = open_model(path, settings)
    try:
        if warmup_iterations and Path(path, WARMUP).is_file():
            warm_up(model, str(Path(path, WARMUP)), records, warmup_iterations, answers)
    except BaseException:
        model.close()
        raise
    return model


def warm_up(model: Model, path: str, records: Records, iterations: int, answers: AnswerSettings) -> None:
    """Replays the requests of a warm-up file, each `iterations` times. Raises ServingError."""
    count = 0
    try:
        for count, record in enumerate(records(path), start=1):
            if count > MAX_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
            _replay(model, wire.PredictionLog.FromString(record), iterations, answers)
    except (DecodeError, ServingError) as error:
        if isinstance(error, ServingError) and error.code is not Code.DATA_LOSS:
            raise
        raise ServingError(
            Code.DATA_LOSS, f"{error}. Please verify your warmup data is in TFRecord format. File: {path}"
        ) from error
    log.info("Finished reading warmup data for model at %s. Number of warmup records read: %d", path, count)


def _replay(model: Model, record: wire.PredictionLog, iterations: int, answers: AnswerSettings) -> None:
    kind = record.WhichOneof("log_type")
    if kind != "predict_log":
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind or 'none'}; built is predict_log")
    for _ in range(iterations):
        predict(model, record.predict_log.request, 0, NO_TIMEOUT_MS, answers)
