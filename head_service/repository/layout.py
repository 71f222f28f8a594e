"""Where everything lies in a repository. Nothing else spells these names.

    REPOSITORY/
      models.config               what TF-Serving polls: which version of which head has which role
      ledger.json                 what models.config has no words for
      .lock                       held by whoever changes the two above or makes a version visible
      <head>/<version>/           a SavedModel with, in assets.extra/, head.json, tf_serving_warmup_requests and
                                  training_profile.npz
      <head>/.draft-…/            a version being written; TF-Serving skips names that are no numbers
      <head>/.draft-…/.held       locked by the living process that writes it
      <head>/.removed-…/          a version that was taken away, until its files are deleted
"""

from __future__ import annotations

import re
from pathlib import Path

from twohop.errors import InvalidInput

CONFIG = "models.config"
LEDGER = "ledger.json"
LOCK = ".lock"
DRAFT_PREFIX = ".draft-"
HELD = ".held"
REMOVED_PREFIX = ".removed-"
EXTRA = "assets.extra"
MANIFEST = f"{EXTRA}/head.json"
WARMUP = f"{EXTRA}/tf_serving_warmup_requests"
PROFILE = f"{EXTRA}/training_profile.npz"
GRAPH = "saved_model.pb"
CANARY_SUFFIX = "-canary"

_HEAD_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_head_name(name: str) -> str:
    """The name itself. Raises InvalidInput where it is no head name: it becomes a folder and a model of TF-Serving."""
    if not _HEAD_NAME.fullmatch(name):
        raise InvalidInput(
            f"bad head name {name!r}: use 1 to 64 of a-z 0-9 _ - and start with a letter or a digit", detail={"head": name[:80]}
        )
    if name.endswith(CANARY_SUFFIX):
        raise InvalidInput(
            f"bad head name {name!r}: names that end in {CANARY_SUFFIX} are the canaries of other heads", detail={"head": name}
        )
    return name


def version_numbers(head_folder: Path) -> list[int]:
    """The versions that lie in the folder of one head, newest first; none where there is no folder."""
    if not head_folder.is_dir():
        return []
    return sorted((int(entry.name) for entry in head_folder.iterdir() if _is_version(entry)), reverse=True)


def _is_version(entry: Path) -> bool:
    return entry.name.isascii() and entry.name.isdigit() and not entry.name.startswith("0") and entry.is_dir()
