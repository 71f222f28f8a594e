"""Reading a repository: its heads, their versions and roles. Needs no lock: whatever is visible is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from head_service.repository import ledger, manifest, serving_config
from head_service.repository.layout import check_head_name, version_numbers
from head_service.repository.manifest import Manifest
from twohop.errors import NotFound
from twohop_service import durable


@dataclass(frozen=True)
class Version:
    """One version of a head; `roles` of "stable", "canary"; no manifest: a SavedModel that is not ours."""

    number: int
    path: Path
    roles: list[str]
    manifest: Manifest | None

    def size_bytes(self) -> int:
        """Of all its files. Raises OSError."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


def heads(repository: Path) -> list[str]:
    """The names of the heads that have a version, sorted. Raises NotFound (no such folder), Failed."""
    with durable.explained("read the repository", repository):
        return sorted(entry.name for entry in _existing_folder(repository).iterdir() if version_numbers(entry))


def versions(repository: Path, head: str) -> list[Version]:
    """All versions of one head, newest first. Raises InvalidInput (the name), NotFound, Failed."""
    numbers = existing(repository, head)
    roles = serving_config.roles_of(repository, head)
    folders = {number: repository / head / str(number) for number in numbers}
    return [Version(number, path, roles.of(number), manifest.read(path)) for number, path in folders.items()]


def before_stable(repository: Path, head: str) -> int | None:
    """The version that rollback would make stable; None where there is none. Raises as `versions` does."""
    numbers, roles = existing(repository, head), serving_config.roles_of(repository, head)
    earlier = stable_before(ledger.read(repository).page(head), numbers, roles.stable)
    return earlier[-1] if earlier else None


def stable_before(page: ledger.Page, numbers: Sequence[int], stable: int | None) -> list[int]:
    """Those of a head's versions `numbers` that rollback can go to, oldest first; the last one is the next."""
    return [number for number in page.stable_before if number in numbers and number != stable]


def numbered(found: Sequence[Version], head: str, number: int) -> Version:
    """The one with this number. Raises NotFound, which says what there is."""
    for version in found:
        if version.number == number:
            return version
    raise unknown(head, number, [version.number for version in found])


def unknown(head: str, number: int, numbers: Sequence[int]) -> NotFound:
    has = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
    return NotFound(f"head {head} has no version {number}: it has {has}", detail={"head": head, "version": number})


def existing(repository: Path, head: str) -> list[int]:
    """The numbers of all versions of one head, newest first, at least one. Raises as `versions` does."""
    check_head_name(head)
    with durable.explained("read the repository", repository):
        numbers = version_numbers(_existing_folder(repository) / head)
    if not numbers:
        known = ", ".join(heads(repository)[:20]) or "none"
        raise NotFound(f"repository {repository} has no head {head}; heads there: {known}", detail={"head": head})
    return numbers


def _existing_folder(repository: Path) -> Path:
    if not repository.is_dir():
        raise NotFound(f"there is no repository {repository}: give --repository the folder that train wrote to")
    return repository
