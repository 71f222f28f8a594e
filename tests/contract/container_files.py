"""Reads deploy/docker and deploy/compose.yaml as Docker does, as far as they go: what would a container run?"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
COMPOSE = ROOT / "deploy" / "compose.yaml"


@dataclass(frozen=True)
class Image:
    """The last stage of a Dockerfile."""

    base: str
    entrypoint: list[str]
    command: list[str]
    environment: dict[str, str]
    health: list[str] | None
    user: str


@dataclass(frozen=True)
class Container:
    argv: list[str]
    environment: dict[str, str]
    health: list[str] | None


def image(path: Path) -> Image:
    lines = instructions(path.read_text())
    start = max(position for position, (word, _) in enumerate(lines) if word == "FROM")
    last = lines[start:]
    environment = dict(pair.split("=", 1) for word, rest in last if word == "ENV" for pair in rest.split())
    said = dict(last)
    health = said.get("HEALTHCHECK", "NONE")
    return Image(
        base=said["FROM"].split()[0],
        entrypoint=json.loads(said["ENTRYPOINT"]),
        command=json.loads(said["CMD"]),
        environment=environment,
        health=None if health == "NONE" else json.loads(health[health.index("CMD ") + 4 :]),
        user=said.get("USER", "root"),
    )


def instructions(text: str) -> list[tuple[str, str]]:
    """Word and rest of each; continuation lines joined, comments left out."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", kept)
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def compose_services(variables: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Services with `${NAME:-default}` filled in."""

    def fill(match: re.Match[str]) -> str:
        return (variables or {}).get(match[1], match[2])

    text = re.sub(r"\$\{(\w+):-([^}]*)\}", fill, COMPOSE.read_text())
    services: dict[str, dict[str, Any]] = YAML(typ="safe").load(text)["services"]
    return services


def container(name: str, variables: dict[str, str] | None = None) -> Container:
    """What `docker compose up` would run for one service: the image's words, and the file's where it has its own."""
    service = compose_services(variables)[name]
    built = image(ROOT / service["build"]["dockerfile"]) if "build" in service else None
    entrypoint = service.get("entrypoint", built.entrypoint if built else [])
    command = service.get("command", built.command if built and "entrypoint" not in service else [])
    environment = {**(built.environment if built else {}), **{k: str(v) for k, v in service.get("environment", {}).items()}}
    test = service.get("healthcheck", {}).get("test")
    return Container([*entrypoint, *command], environment, test[1:] if test else built.health if built else None)
