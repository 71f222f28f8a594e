"""The list of models to serve, in TF-Serving's own language (ModelServerConfig), checked as TF-Serving checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from google.protobuf import text_format

from head_service.model_server.status import Code, ServingError, invalid
from twohop.wire import tfserving_pb2 as wire

PLATFORM = "tensorflow"


@dataclass(frozen=True)
class Policy:
    """Which versions of a model are wanted: the `number` highest, all, or exactly `versions`."""

    kind: Literal["latest", "all", "specific"] = "latest"
    number: int = 1
    versions: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ModelConfig:
    name: str
    base_path: str
    policy: Policy = field(default_factory=Policy)


Models = Mapping[str, ModelConfig]


def parse(text: str) -> wire.ModelServerConfig:
    """Raises ServingError, in the parser's words, for text that is no ModelServerConfig."""
    try:
        return text_format.Parse(text, wire.ModelServerConfig())
    except text_format.ParseError as error:
        raise invalid(f"Error parsing text-format tensorflow.serving.ModelServerConfig: {error}") from error


def single(name: str, base_path: str) -> wire.ModelServerConfig:
    model = wire.ModelConfig(name=name, base_path=base_path, model_platform=PLATFORM)
    return wire.ModelServerConfig(model_config_list=wire.ModelConfigList(config=[model]))


def models_of(config: wire.ModelServerConfig) -> Models:
    """The models by name. Raises ServingError for a list that TF-Serving would not take, or that asks for what is not
    built yet."""
    if config.HasField("custom_model_config"):
        raise invalid("ModelServer does not yet support custom model config.")
    models: dict[str, ModelConfig] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        models[model.name] = _checked(model)
    return models


def _checked(model: wire.ModelConfig) -> ModelConfig:
    if not model.base_path.startswith("/"):
        raise invalid(
            f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            + (" (the embedded server reads folders only)" if "://" in model.base_path else "")
        )
    _check_platform(model)
    if model.HasField("logging_config"):
        raise invalid("No request-logger-creator provided.")
    if model.version_labels:
        raise ServingError(
            Code.UNIMPLEMENTED, f"model {model.name}: version_labels are not built yet in the embedded server; leave them out"
        )
    return ModelConfig(model.name, model.base_path, _policy(model.model_version_policy))


def _check_platform(model: wire.ModelConfig) -> None:
    if model.model_type and model.model_platform:
        raise invalid("Illegal setting both model_type(deprecated) and model_platform.")
    platform = "other" if model.model_type == wire.OTHER else PLATFORM if model.model_type else model.model_platform
    if not platform:
        raise invalid("Illegal setting neither model_type(deprecated) nor model_platform.")
    if platform != PLATFORM:
        raise invalid(f"Servable {model.name} requests unsupported platform {platform}")


def _policy(given: wire.ServableVersionPolicy) -> Policy:
    match given.WhichOneof("policy_choice"):
        case "all":
            return Policy("all")
        case "specific":
            return Policy("specific", versions=frozenset(given.specific.versions))
        case _:
            return Policy("latest", number=given.latest.num_versions or 1)
