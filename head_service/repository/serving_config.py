"""`models.config`: the single truth about roles, in TF-Serving's own language (text form of ModelServerConfig).

Model NAME serves exactly the stable version, NAME-canary exactly the canary. TF-Serving waits for ever for a model
without a version, so only versions that lie in the repository may be written here. Models that are not ours (somebody
added them by hand, or gave a head another policy) are kept as they are, until their head gets a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from google.protobuf import text_format

from head_service.repository.layout import CANARY_SUFFIX, CONFIG, version_numbers
from twohop.errors import Failed
from twohop.wire import tfserving_pb2 as wire
from twohop_service import durable

_PREAMBLE = "# Polled by TF-Serving. head-service rewrites this file whole; roles move by: head-service promote | rollback\n"


@dataclass(frozen=True)
class Roles:
    """Which version of one head has which role; None: no version has it."""

    stable: int | None = None
    canary: int | None = None

    def of(self, version: int) -> list[str]:
        return [role for role in ("stable", "canary") if getattr(self, role) == version]


def read(repository: Path) -> dict[str, Roles]:
    """The roles of every head of this repository. Raises Failed where the file is there and cannot be understood."""
    found: dict[str, Roles] = {}
    for model in _models(repository):
        head, role = _head_and_role(model.name)
        if (version := _its_version(model)) in version_numbers(repository / head):
            found[head] = replace(found.get(head, Roles()), **{role: version})
    return found


def roles_of(repository: Path, head: str) -> Roles:
    """The roles of one head. Raises as `read` does."""
    return read(repository).get(head, Roles())


def named(repository: Path, head: str) -> frozenset[int]:
    """The versions of one head that any model of the file serves, those added by hand too, whatever their names and policies.
    Raises as `read` does."""
    numbers = version_numbers(repository / head)        # newest first
    found: set[int] = set()
    for model in _models(repository):
        if head not in (PurePath(model.base_path).name, _head_and_role(model.name)[0]):
            continue
        policy = model.model_version_policy
        match policy.WhichOneof("policy_choice"):
            case "specific":
                found.update(policy.specific.versions)
            case "all":
                found.update(numbers)
            case _:
                found.update(numbers[: policy.latest.num_versions or 1])
    return frozenset(found)


def write(repository: Path, changed: Mapping[str, Roles], *, serve_root: str | None) -> None:
    """Rewrites the file with the new roles of the `changed` heads. Base paths of all heads lie below `serve_root`, by
    default below the repository's own absolute path. Raises OSError, Failed."""
    root = (serve_root or str(repository.absolute())).rstrip("/")
    roles = {**read(repository), **changed}
    models = [model for head in sorted(roles) for model in _models_of(head, roles[head], f"{root}/{head}")]
    written = {model.name for model in models}
    foreign = [model for model in _models(repository) if not _is_ours(repository, model) and model.name not in written]
    config = wire.ModelServerConfig(model_config_list=wire.ModelConfigList(config=[*models, *foreign]))
    durable.replace(repository / CONFIG, _PREAMBLE + text_format.MessageToString(config))


def _models(repository: Path) -> list[wire.ModelConfig]:
    path = repository / CONFIG
    if not path.exists():
        return []
    try:
        with durable.explained("read", path):
            text = path.read_text(encoding="utf-8")
        return list(text_format.Parse(text, wire.ModelServerConfig()).model_config_list.config)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise Failed(f"{path} is not a model config that head-service can keep: {error}", detail={"path": str(path)}) from error


def _models_of(head: str, roles: Roles, base_path: str) -> list[wire.ModelConfig]:
    named = ((head, roles.stable), (head + CANARY_SUFFIX, roles.canary))
    return [_model(name, base_path, version) for name, version in named if version is not None]


def _is_ours(repository: Path, model: wire.ModelConfig) -> bool:
    """In the words of `_model`, of a head that lies here."""
    return (repository / _head_and_role(model.name)[0]).is_dir() and _its_version(model) is not None


def _its_version(model: wire.ModelConfig) -> int | None:
    versions = model.model_version_policy.specific.versions
    return versions[0] if len(versions) == 1 and not model.version_labels else None


def _model(name: str, base_path: str, version: int) -> wire.ModelConfig:
    policy = wire.ServableVersionPolicy(specific=wire.ServableVersionPolicy.Specific(versions=[version]))
    return wire.ModelConfig(name=name, base_path=base_path, model_platform="tensorflow", model_version_policy=policy)


def _head_and_role(model_name: str) -> tuple[str, str]:
    if model_name.endswith(CANARY_SUFFIX):
        return model_name.removesuffix(CANARY_SUFFIX), "canary"
    return model_name, "stable"
