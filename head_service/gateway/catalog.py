"""Which heads the gateway offers: those of a repository, followed live, or those that its flags name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from head_service.gateway.fleet import Offer
from head_service.repository import manifest, serving_config
from head_service.repository.layout import CANARY_SUFFIX
from head_service.repository.manifest import Manifest
from head_service.repository.serving_config import Roles
from twohop.errors import Failed


class NamedHeads:
    """Fixed names; all else about them is what hop 2 says."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(dict.fromkeys(names))

    def offers(self) -> list[Offer]:
        return [Offer(name, models=(name,)) for name in self._names]


class RepositoryHeads:
    """The heads that models.config serves, each with what its stable version's head.json says (or, without a stable one,
    its canary's). Read anew each time."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._manifests: dict[Path, Manifest] = {}

    def offers(self) -> list[Offer]:
        """Raises Failed where models.config, or the folder itself, cannot be read."""
        if not self._repository.is_dir():
            raise Failed(f"the repository {self._repository} does not exist yet")
        served = sorted(serving_config.read(self._repository).items())
        return [self._offer(head, roles) for head, roles in served if roles != Roles()]

    def _offer(self, head: str, roles: Roles) -> Offer:
        named = {head: roles.stable, head + CANARY_SUFFIX: roles.canary}
        models = tuple(model for model, version in named.items() if version is not None)
        versions = [version for version in (roles.stable, roles.canary) if version is not None]
        said = self._manifest(self._repository / head / str(versions[0]))
        offer = Offer(head, models, {version: tuple(roles.of(version)) for version in versions})
        if said is None:
            return offer
        return Offer(head, models, offer.roles, said.encoder.fingerprint, tuple(said.labels), dict(said.metrics))

    def _manifest(self, version: Path) -> Manifest | None:
        """Versions never change, so each is read once."""
        if version not in self._manifests and (found := manifest.read(version)) is not None:
            self._manifests[version] = found
        return self._manifests.get(version)
