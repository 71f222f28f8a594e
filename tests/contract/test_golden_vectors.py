"""Recordings of the real bert-serving-server: all its poolings, layers and masks out of our engine, at float32.

The recordings beside this checkout were made with TensorFlow's fused layer norm, whose epsilon is 0.001 whatever the model
says (their README says otherwise; the float32 reference with 0.001 meets them to 2e-6, with the model's 1e-12 it is 0.1 off).
So they are met by the same weights under a config.json that says 0.001. Their tokens are taken as recorded, because
bert-as-service knows no special tokens in raw text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from encoder_machinery import ENGINES, GOLDEN, described

from embedding_service.model.encoder import Encoders, Item, describe_encoders
from embedding_service.model.folder_defaults import packaged_folder

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recordings of bert-serving-server are not beside this checkout")

POOLINGS = {
    "REDUCE_MEAN": "mean", "REDUCE_MAX": "max", "REDUCE_MEAN_MAX": "mean-max", "CLS_TOKEN": "cls", "FIRST_TOKEN": "cls",
    "SEP_TOKEN": "sep", "LAST_TOKEN": "sep", "CLS_POOLED": "cls-pooled", "NONE": "none",
}
FILES = ("len25_nomask", "len25_mask", "len25_mask_sep", "misc_len25", "pool_none_len25")


def recordings() -> list[tuple[str, str]]:
    if not GOLDEN.is_dir():
        return []
    return [(file, key) for file in FILES for key in np.load(GOLDEN / f"{file}.npz").files]


def spec_of(key: str) -> str:
    strategy, rest = key.split(".layer")
    layers, _, mask = rest.split(".")
    wanted = "" if strategy == "CLS_POOLED" else f",layers={layers.replace('_', '+')}"
    return f"pooling={POOLINGS[strategy]}{wanted},normalize=no,max_length=25,mask_special={'yes' if mask == 'mask' else 'no'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fused_layer_norm")
    source = packaged_folder()
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).symlink_to(source / name)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.001}))
    return folder


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    """Each distinct spec of the recordings, and the encoder's name for it."""
    return {spec: f"e{number}" for number, spec in enumerate(dict.fromkeys(spec_of(key) for _, key in recordings()))}


@pytest.fixture(scope="module", params=ENGINES)
def encoders(request: pytest.FixtureRequest, folder: Path, names: dict[str, str]) -> Encoders:
    models = [f"{name}={folder}:{spec}" for spec, name in names.items()]
    return Encoders.load(models, engine=request.param, precision="f32")


def recorded_items(encoder: int, rows: list[int]) -> list[Item]:
    ids = {token: index for index, token in enumerate(described()[0].tokenizer.vocabulary)}
    tokens = json.loads((GOLDEN / "tokens.json").read_text())["text.len25"]
    items: list[Item] = []
    for row in rows:
        ends = [at for at, token in enumerate(tokens[row]) if token == "[SEP]"]
        types = np.array([at > ends[0] for at in range(len(tokens[row]))], np.int32) if len(ends) == 2 else None
        items.append((encoder, np.array([ids[token] for token in tokens[row]], np.int32), types))
    return items


@pytest.mark.parametrize(("file", "key"), recordings())
def test_every_pooling_layer_and_mask_gives_what_bert_as_service_recorded(
    file: str, key: str, encoders: Encoders, names: dict[str, str]
) -> None:
    want = np.load(GOLDEN / f"{file}.npz")[key]
    none_rows = json.loads((GOLDEN / "sentences.json").read_text())["none_idx"]
    rows = {"misc_len25": [0, 11, 24], "pool_none_len25": none_rows}.get(file, list(range(43)))
    if file == "len25_mask_sep":
        rows.remove(6)                          # not recorded: no word pieces
    vectors = encoders.run(recorded_items(list(names).index(spec_of(key)), rows)).vectors
    for position, (row, got) in enumerate(zip(rows, vectors, strict=True)):
        if row == 6 and key == "CLS_TOKEN.layer-2.len25.mask":
            continue                            # nothing counts: there [CLS] attends to its padding, and we have none
        padded = np.zeros_like(want[position].reshape(-1, got.shape[1]))
        padded[: len(got)] = got
        assert np.abs(padded - want[position]).max() <= 2e-5, f"text {row}"


def test_our_own_tokenisation_is_bert_as_services_but_for_special_tokens_in_raw_text() -> None:
    texts = json.loads((GOLDEN / "sentences.json").read_text())["sentences"]
    tokens = json.loads((GOLDEN / "tokens.json").read_text())["text.len25"]
    encoder = describe_encoders(["short=minilm:max_length=25"])[0]
    words = encoder.tokenizer.vocabulary
    for text, want in zip(texts, tokens, strict=True):
        if "[SEP]" in text:
            continue
        pair = re.match(r"(.*) \|\|\| (.*)$", text.strip())
        [got] = encoder.encode_batch([pair[1]], [pair[2]]) if pair else encoder.encode_batch([text])
        assert [words[index] for index in got.ids] == want
        assert (got.types is not None) == (want.count("[SEP]") == 2)
