"""Moving roles. Stable: promote to a version, roll back to the one that was stable before. Canary: give it, end it; a canary
that becomes stable is none any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from head_service.repository import ledger, serving_config
from head_service.repository.layout import GRAPH
from head_service.repository.locking import locked
from head_service.repository.serving_config import Roles
from head_service.repository.versions import existing, stable_before, unknown
from twohop.errors import Failed, InvalidInput, NotFound
from twohop_service import durable


@dataclass(frozen=True)
class Move:
    """What happened to a role of one head: from the version `before` to the version `after`; None: no version."""

    before: int | None
    after: int | None
    role: str = "stable"


def promote(repository: Path, head: str, version: int | None = None) -> Move:
    """Makes `version`, by default the newest, stable. Raises InvalidInput (the name), NotFound, Failed."""
    with _changing(repository, head) as numbers:
        chosen = _servable(repository, head, version, numbers)
        return move_stable(repository, ledger.read(repository), head, chosen)


def promote_canary(repository: Path, head: str, version: int | None = None) -> Move:
    """Makes `version`, by default the newest, the canary, in the place of any other. Raises InvalidInput (the name, a
    version that is stable), NotFound, Failed."""
    with _changing(repository, head) as numbers:
        chosen = _servable(repository, head, version, numbers)
        roles = serving_config.roles_of(repository, head)
        if chosen == roles.stable:
            raise InvalidInput(
                f"version {chosen} of head {head} is stable: a canary is another version, tried beside it",
                detail={"head": head, "version": chosen},
            )
        _write_roles(repository, ledger.read(repository), head, Roles(roles.stable, chosen))
        return Move(roles.canary, chosen, "canary")


def rollback(repository: Path, head: str, version: int | None = None) -> Move:
    """Makes the version that was stable before stable again; with `version`, goes back as far as that one.
    Raises InvalidInput (the name, a version that was never stable), NotFound, Failed."""
    with _changing(repository, head) as numbers:
        book = ledger.read(repository)
        roles = serving_config.roles_of(repository, head)
        earlier = stable_before(book.page(head), numbers, roles.stable)
        if not earlier:
            raise NotFound(
                f"head {head} has no version that was stable before {roles.stable}: promote one", detail={"head": head}
            )
        target = earlier[-1] if version is None else version
        if target not in earlier:
            raise InvalidInput(
                f"version {target} of head {head} was not stable before {roles.stable}: these were: "
                f"{', '.join(map(str, earlier))}; any other can be promoted",
                detail={"head": head, "version": target, "stable_before": earlier[-50:]},
            )
        # Reading skips what is stable now, so a crash between the two writes loses nothing.
        _write_roles(repository, book, head, Roles(target, roles.canary))
        before = book.page(head).stable_before
        book.page(head).stable_before = before[: len(before) - 1 - before[::-1].index(target)]
        ledger.write(repository, book)
        return Move(roles.stable, target)


def end_canary(repository: Path, head: str) -> Move:
    """Takes the canary's role away; stable stays. Raises InvalidInput (the name), NotFound (also: no canary), Failed."""
    with _changing(repository, head):
        roles = serving_config.roles_of(repository, head)
        if roles.canary is None:
            raise NotFound(f"head {head} has no canary: nothing to end", detail={"head": head})
        _write_roles(repository, ledger.read(repository), head, Roles(roles.stable, None))
        return Move(roles.canary, None, "canary")


def move_stable(repository: Path, book: ledger.Ledger, head: str, version: int) -> Move:
    """Makes `version` stable and remembers which one was. The caller holds the lock. Raises OSError, Failed."""
    roles = serving_config.roles_of(repository, head)
    if roles.stable is not None and roles.stable != version:
        book.page(head).stable_before.append(roles.stable)
    ledger.write(repository, book)
    _write_roles(repository, book, head, Roles(version, roles.canary))
    return Move(roles.stable, version)


@contextmanager
def _changing(repository: Path, head: str) -> Iterator[list[int]]:
    """Holds the lock; the numbers of the head's versions, newest first."""
    existing(repository, head)      # before the lock, which would need a folder
    with durable.explained("change the roles in", repository), locked(repository):
        yield existing(repository, head)


def _servable(repository: Path, head: str, version: int | None, numbers: Sequence[int]) -> int:
    chosen = numbers[0] if version is None else version
    if chosen not in numbers:
        raise unknown(head, chosen, numbers)
    if not (repository / head / str(chosen) / GRAPH).is_file():
        raise Failed(f"{repository / head / str(chosen)} has no {GRAPH}: TF-Serving could not load it, so it stays as it is")
    return chosen


def _write_roles(repository: Path, book: ledger.Ledger, head: str, roles: Roles) -> None:
    canary = None if roles.canary == roles.stable else roles.canary
    serving_config.write(repository, {head: Roles(roles.stable, canary)}, serve_root=book.serve_root)
