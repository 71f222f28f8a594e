"""Google's checkpoints, written by TensorFlow itself, become folders that are the same model to the last bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedding_service.model.checkpoint import Checkpoint, tensor_names
from embedding_service.model.encoder import Encoders, describe_encoders
from embedding_service.model.folder_defaults import packaged_folder
from embedding_service.tools.convert import WRITTEN, convert
from twohop.errors import Failed

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from tiny_bert import WORDS, write

CONFIG_KEYS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
               "max_position_embeddings", "type_vocab_size", "hidden_act")


def google(name: str) -> str:
    """Google's name of a tensor, written out here once more."""
    for ours, theirs in ((".", "/"), ("layer/", "layer_"), ("LayerNorm/weight", "LayerNorm/gamma"),
                         ("LayerNorm/bias", "LayerNorm/beta"), ("embeddings/weight", "embeddings"), ("/weight", "/kernel")):
        name = name.replace(ours, theirs)
    return f"bert/{name}"


def write_google(folder: Path, source: Path, layers: int, name: str = "bert_model.ckpt", **extra: Any) -> Path:
    """The weights of a Hugging Face folder as Google saves a model in training: Adam's slots, heads and the step with them."""
    import tensorflow as tf

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint.open(source)
    tensors: dict[str, Any] = {"global_step": np.int64(7), "cls/predictions/output_bias": np.zeros(5, np.float32)}
    for ours in tensor_names(layers, pooler=True):
        theirs, value = google(ours), checkpoint.tensor(ours)
        tensors[theirs] = np.ascontiguousarray(value.T if theirs.endswith("kernel") else value)
        tensors[f"{theirs}/adam_m"] = np.zeros_like(tensors[theirs])
    tensors |= extra
    tf.raw_ops.SaveV2(prefix=str(folder / name), tensor_names=list(tensors), shape_and_slices=[""] * len(tensors),
                      tensors=list(tensors.values()))
    config = json.loads((source / "config.json").read_text())
    (folder / "bert_config.json").write_text(json.dumps({key: config[key] for key in CONFIG_KEYS}))
    shutil.copyfile(source / "vocab.txt", folder / "vocab.txt")
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("google")
    return write_google(folder / "tiny", write(folder / "hugging"), 4)


def convert_quietly(source: Path, target: Path, **options: Any) -> Any:
    return convert(source, target, progress=lambda written, total: None, **options)


def test_the_packaged_model_through_googles_format_has_its_fingerprint_and_its_vectors_bit_for_bit(tmp_path: Path) -> None:
    source = write_google(tmp_path / "uncased_L-6_H-384_A-12", packaged_folder(), 6)
    seen: list[tuple[int, int]] = []
    made = convert(source, tmp_path / "out", progress=lambda *at: seen.append(at))
    assert (made.lowercase, made.tensors) == (True, 103)
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 90_000_000
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(WRITTEN)
    keys = "pooling=mean,layers=-1,normalize=yes,max_length=256"
    models = [f"a={tmp_path / 'out'}:{keys}", "b=minilm", "c=a:layers=-4..-1,normalize=no", "d=b:layers=-4..-1,normalize=no"]
    described = describe_encoders(models)
    assert described[0].fingerprint == described[1].fingerprint == "enc-70fe41bf296e"
    assert described[2].fingerprint == described[3].fingerprint == "enc-d7f5d61edaef"
    encoders = Encoders.load(models[:2], precision="f32", threads=1)
    for text in ("Where is my parcel?", "Émile 爱 [SEP] unbelievable"):
        one, other = (encoder.encode_batch([text])[0] for encoder in described[:2])
        vectors = encoders.run([(0, one.ids, one.types)]).vectors[0], encoders.run([(1, other.ids, other.types)]).vectors[0]
        assert np.array_equal(*vectors)


def test_the_folder_is_readable_by_the_safetensors_library_too(tiny: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    convert_quietly(tiny, tmp_path / "out")
    loaded, checkpoint = load_file(tmp_path / "out" / "model.safetensors"), Checkpoint.open(tiny.parent / "hugging")
    assert sorted(loaded) == sorted(tensor_names(4, pooler=True))
    assert all(np.array_equal(value, checkpoint.tensor(name)) for name, value in loaded.items())


def test_half_precision_and_brain_floats_are_widened(tiny: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    bias = {"bert/pooler/dense/bias": tf.constant(np.arange(16), tf.bfloat16),
            "bert/embeddings/LayerNorm/beta": tf.constant(np.arange(16), tf.float16)}
    source = write_google(tmp_path / "g", tiny.parent / "hugging", 4, **bias)
    convert_quietly(source, tmp_path / "out")
    checkpoint = Checkpoint.open(tmp_path / "out")
    for name in ("pooler.dense.bias", "embeddings.LayerNorm.bias"):
        assert checkpoint.tensor(name).tolist() == [*range(16)]


@pytest.mark.parametrize(("name", "asked", "words", "lowercase"), [
    ("uncased_L-2", None, ["A", "B"], True), ("cased_L-2", None, [], False), ("multi_cased_L-2", None, [], False),
    ("chinese_L-2", None, ["A", "B"], True), ("mine", None, [], True), ("mine", None, ["A", "B"], False),
    ("cased_L-2", True, [], True), ("mine", False, [], False),
])
def test_lower_case_is_as_asked_or_as_the_name_or_the_vocabulary_says(
    tiny: Path, tmp_path: Path, name: str, asked: bool | None, words: list[str], lowercase: bool
) -> None:
    source = shutil.copytree(tiny, tmp_path / name)
    (source / "vocab.txt").write_text("\n".join([*WORDS[: 40 - len(words)], *words]), encoding="utf-8")
    assert convert_quietly(source, tmp_path / "out", lowercase=asked).lowercase is lowercase
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["do_lower_case"] is lowercase


def test_of_several_checkpoints_one_has_to_be_named(tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny, tmp_path / "g")
    for path in list(source.glob("bert_model.ckpt.*")):
        for step in ("10", "20"):
            shutil.copyfile(path, source / path.name.replace("bert_model.ckpt", f"model.ckpt-{step}"))
        path.unlink()
    with pytest.raises(Failed, match=r"2 checkpoints: name one of them .*model\.ckpt-10"):
        convert_quietly(source, tmp_path / "out")
    assert convert_quietly(source / "model.ckpt-20", tmp_path / "out").checkpoint.name == "model.ckpt-20"


def test_an_existing_target_is_left_alone_and_replaced_only_if_convert_made_it(tiny: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    convert_quietly(tiny, target)
    with pytest.raises(Failed, match=r"exists already.*--force"):
        convert_quietly(tiny, target)
    convert_quietly(tiny, target, force=True)
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(Failed, match=r"not a folder that convert made \(it holds thesis\.txt\)"):
        convert_quietly(tiny, target, force=True)
    assert (target / "thesis.txt").read_text() == "mine"


def spoil(folder: Path, how: str) -> None:
    data, index = folder / "bert_model.ckpt.data-00000-of-00001", folder / "bert_model.ckpt.index"
    if how == "flipped bit":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif how == "cut":
        data.write_bytes(data.read_bytes()[:100])
    elif how == "index":
        content = bytearray(index.read_bytes())
        content[30] ^= 1
        index.write_bytes(content)
    elif how == "vocabulary":
        (folder / "vocab.txt").write_text("\n".join([*WORDS, "more"]), encoding="utf-8")
    elif how == "config":
        config = json.loads((folder / "bert_config.json").read_text())
        (folder / "bert_config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    else:
        (folder / how).unlink()


@pytest.mark.parametrize(("how", "says"), [
    ("flipped bit", r"data-00000-of-00001 is damaged at tensor bert/\S+ \(its checksum differs\)"),
    ("cut", r"data-00000-of-00001 is cut off at tensor bert/"), ("index", r"\.index is damaged"),
    ("bert_model.ckpt.data-00000-of-00001", r"data-00000-of-00001 cannot be read"),
    ("bert_model.ckpt.index", "has no TensorFlow checkpoint"), ("bert_config.json", r"bert_config\.json is missing"),
    ("vocab.txt", r"vocab\.txt is missing"), ("vocabulary", r"vocab\.txt has 41 tokens, bert_config\.json says 40"),
    ("config", r"intermediate/dense/kernel of shape \[16, 32\], bert_config\.json needs \[16, 64\]"),
])
def test_a_damaged_source_is_refused_naming_the_file_and_leaves_nothing(tiny: Path, tmp_path: Path, how: str, says: str) -> None:
    source = shutil.copytree(tiny, tmp_path / "g")
    spoil(source, how)
    with pytest.raises(Failed, match=says):
        convert_quietly(source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_two_conversions_into_one_target_do_not_mix(tiny: Path, tmp_path: Path) -> None:
    def meanwhile(written: int, total: int) -> None:
        if written == total:
            with pytest.raises(Failed, match="being written by another convert"):
                convert_quietly(tiny, tmp_path / "out")

    convert(tiny, tmp_path / "out", progress=meanwhile)
    Checkpoint.open(tmp_path / "out").check(tensor_names(4, pooler=True))


def test_the_command_that_serve_advises_works_and_says_the_fingerprint(tiny: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny, tmp_path / "my model")
    with pytest.raises(Failed) as caught:
        describe_encoders([f"e={source}"])
    advice = caught.value.message.split("serve the result: ")[1]
    program = Path(sys.executable).with_name("embedding-service")
    advice = advice.replace("embedding-service", str(program), 1)
    done = subprocess.run(advice, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder, fingerprint = done.stdout.strip().rsplit("  ", 1)
    assert folder == f"{source}-safetensors"
    assert describe_encoders([f"e={folder}"])[0].fingerprint == fingerprint
    assert "lower case" in done.stderr
