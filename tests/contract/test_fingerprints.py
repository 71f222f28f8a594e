"""Fingerprints by the contract's recipe, the published page, and a second computation that shares no code with the first."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path

import pytest
from encoder_machinery import ROOT, described

from embedding_service.model.folder_defaults import packaged_folder

PAGE = ROOT / "docs" / "fingerprints.md"
BELOW_TOP = {"minilm": 6, "rich": 6, "tokens": 4}


def published() -> dict[str, tuple[str, str]]:
    """name -> (fingerprint, identity JSON) as the page prints them."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^## `(\w+)`: `(enc-[0-9a-f]{12})`\n+```json\n(.+?)\n```", text, re.MULTILINE | re.DOTALL)
    return {name: (fingerprint, identity) for name, fingerprint, identity in found}


def weights_by_hand(path: Path, layers: int) -> str:
    """The recipe once more, with nothing but struct and json: sorted names, shapes, float32 bytes; no pooler, no layer above."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        digest = hashlib.sha256()
        for name in sorted(header):
            layer = re.match(r"encoder\.layer\.(\d+)\.", name)
            if name.startswith(("pooler", "__")) or name.endswith("position_ids") or (layer and int(layer[1]) >= layers):
                continue
            assert header[name]["dtype"] == "F32"
            digest.update(name.encode() + b"\0" + b"x".join(b"%d" % size for size in header[name]["shape"]) + b"\0")
            begin, end = header[name]["data_offsets"]
            file.seek(8 + length + begin)
            digest.update(file.read(end - begin))
    return digest.hexdigest()


def test_the_packaged_minilm_has_the_contracts_fingerprint() -> None:
    minilm = described()[0]
    assert minilm.fingerprint == "enc-70fe41bf296e"
    assert minilm.identity["weights"].startswith("b47cbd9ff3dd872d")
    assert minilm.identity["vocabulary"].startswith("0f052197aac305fe")


@pytest.mark.parametrize("name", list(BELOW_TOP))
def test_the_published_page_says_what_the_service_says(name: str) -> None:
    [encoder] = [encoder for encoder in described() if encoder.name == name]
    fingerprint, identity = published()[name]
    assert fingerprint == encoder.fingerprint
    assert json.loads(identity) == encoder.identity


@pytest.mark.parametrize("name", list(BELOW_TOP))
def test_a_second_computation_from_the_bytes_of_the_files_agrees_with_the_page(name: str) -> None:
    fingerprint, page = published()[name]
    folder = packaged_folder()
    vocabulary = (folder / "vocab.txt").read_bytes().rstrip(b"\n")
    identity = json.loads(page)
    assert identity["weights"] == weights_by_hand(folder / "model.safetensors", BELOW_TOP[name])
    assert identity["vocabulary"] == hashlib.sha256(vocabulary).hexdigest()
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert fingerprint == f"enc-{hashlib.sha256(canonical).hexdigest()[:12]}"


def test_the_weights_are_the_pinned_ones() -> None:
    content = (packaged_folder() / "model.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
