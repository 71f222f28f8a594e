"""All that the fronts call: TF-Serving's methods on TF-Serving's messages, whatever they came by. Raises ServingError."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from head_service.model_server.lifecycle.available import Available, Servable
from head_service.model_server.lifecycle.history import History, Record
from head_service.model_server.lifecycle.model_config import models_of
from head_service.model_server.lifecycle.reconciler import Reconciler
from head_service.model_server.requests.predict import predict
from head_service.model_server.settings import AnswerSettings
from head_service.model_server.status import Code, ServingError, invalid
from twohop.wire import tfserving_pb2 as wire

log = logging.getLogger(__name__)

SIGNATURE_DEF = "signature_def"
_MAP_TYPE = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


class Service:
    """Threads may share it."""

    def __init__(self, available: Available, history: History, reconciler: Reconciler, answers: AnswerSettings) -> None:
        self._available = available
        self._history = history
        self._reconciler = reconciler
        self._answers = answers

    @contextmanager
    def servable(self, spec: wire.ModelSpec) -> Iterator[Servable]:
        """The version that a request names, held for as long as the block runs."""
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if spec.WhichOneof("version_choice") == "version_label":
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        with self._available.use(spec.name, spec.version.value if spec.HasField("version") else None) as servable:
            yield servable

    def predict(self, request: wire.PredictRequest, timeout_ms: int) -> wire.PredictResponse:
        _require_spec(request)
        with self.servable(request.model_spec) as servable:
            return predict(servable.model, request, servable.version, timeout_ms, self._answers)

    def get_model_metadata(self, request: wire.GetModelMetadataRequest) -> wire.GetModelMetadataResponse:
        _require_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != SIGNATURE_DEF:
                raise invalid(f"Metadata field {field} is not supported")
        with self.servable(request.model_spec) as servable:
            response = wire.GetModelMetadataResponse()
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = servable.version
            signatures = wire.SignatureDefMap(signature_def=servable.model.signatures)
            response.metadata[SIGNATURE_DEF].type_url = _MAP_TYPE
            response.metadata[SIGNATURE_DEF].value = signatures.SerializeToString()
            return response

    def get_model_status(self, request: wire.GetModelStatusRequest) -> wire.GetModelStatusResponse:
        """A label in the request is ignored, as TF-Serving does."""
        _require_spec(request)
        name = request.model_spec.name
        records = self._history.of(name)
        if request.model_spec.HasField("version"):
            version = request.model_spec.version.value
            records = [record for record in records if record.version == version]
            if not records:
                raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        if not records:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return wire.GetModelStatusResponse(model_version_status=[_status(record) for record in records])

    def start_reload(self, request: wire.ReloadConfigRequest) -> set[str]:
        """Serves the given list from now on. Returns the names of the models that have to load first: `reloaded` says
        when they have."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
            )
        models = models_of(request.config)
        log.info("Reloading the configuration by request: %d models", len(models))
        return self._reconciler.set_models(models)

    def reloaded(self, names: set[str]) -> bool:
        """Whether each of the models has a version now. Raises ServingError where one has failed."""
        if self._reconciler.unsettled(names):
            return False
        failures = self._reconciler.failures(names)
        if failures:
            raise not_available(failures, "model(s)")
        return True


def not_available(failures: dict[str, Record], what: str) -> ServingError:
    """`what`: servable(s) at the start, model(s) on a reload."""
    named = "".join(
        f"{{{{name: {name} version: {record.version}}} due to error: {record.error}}}, "
        for name, record in sorted(failures.items())
    )
    return ServingError(Code.UNKNOWN, f"{len(failures)} {what} did not become available: {{{named}}}")


def _require_spec(
    request: wire.PredictRequest | wire.GetModelMetadataRequest | wire.GetModelStatusRequest,
) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


def _status(record: Record) -> wire.ModelVersionStatus:
    status = wire.ModelVersionStatus(version=record.version, status=wire.StatusProto())
    status.state = record.state.value           # type: ignore[assignment]
    if record.error is not None:
        status.status.error_code = record.error.code.value      # type: ignore[assignment]
        status.status.error_message = record.error.message
    return status
