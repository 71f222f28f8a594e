"""What lies under a model's base path, and which of it is wanted."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping

from head_service.model_server.lifecycle.model_config import ModelConfig, Policy
from head_service.model_server.model import INT64

log = logging.getLogger(__name__)

_VERSION = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)

Paths = Mapping[int, str]


def scan(config: ModelConfig) -> Paths:
    """The wanted versions and where they lie. Raises OSError where the base path cannot be listed."""
    found = versions_named(os.listdir(config.base_path))
    return {version: f"{config.base_path.rstrip('/')}/{found[version]}" for version in wanted(config.policy, found)}


def versions_named(names: Iterable[str]) -> dict[int, str]:
    """The names that are whole numbers of 64 bits, by number: `00000123` is 123. Of two names with one number the
    lexicographically last counts. Everything else is skipped, and nobody checks that it is a folder."""
    found: dict[int, str] = {}
    for name in sorted(names):
        if not _VERSION.fullmatch(name) or not INT64.min <= int(name) <= INT64.max:
            continue
        if int(name) in found:
            log.warning("Duplicate version directories detected. Version %d will be loaded from %s, %s ignored.",
                        int(name), name, found[int(name)])
        found[int(name)] = name
    return found


def wanted(policy: Policy, versions: Iterable[int]) -> list[int]:
    """The versions that the policy wants of those that are there, lowest first."""
    there = sorted(versions)
    if policy.kind == "all":
        return there
    if policy.kind == "specific":
        return [version for version in there if version in policy.versions]
    return there[-policy.number :]
