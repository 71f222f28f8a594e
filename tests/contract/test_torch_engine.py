"""The PyTorch engine against OpenVINO and the float32 reference, in both of its layouts; on a CUDA device where there is one."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from encoder_machinery import cosines, described, loaded, workload

from embedding_service.model import loaded_encoders
from embedding_service.model.checkpoint import Checkpoint
from embedding_service.model.devices import cpu_computes_bfloat16, cuda_devices
from embedding_service.model.encoder import Encoders, Item
from twohop.errors import Failed, InvalidInput

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from tiny_bert import write

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed (extra 'cuda')")

no_bf16 = pytest.mark.skipif(not cpu_computes_bfloat16() and not cuda_devices(), reason="no bfloat16 here")


@cache
def torch_encoders(precision: str) -> Encoders:
    return Encoders.load(engine="torch", precision=precision)


@cache
def end_to_end() -> Encoders:
    """The default encoders with their sequences end to end: on a CPU, attention a sequence at a time."""
    from embedding_service.model.torch_engine import TorchEngine

    specs = [encoder.spec for encoder in described()]
    layers = sorted({layer for spec in specs for layer in spec.layers})
    engine = TorchEngine(Checkpoint.open(specs[0].folder), layers, [spec.top for spec in specs], precision="f32", threads=2,
                         end_to_end=not cuda_devices())
    return Encoders(specs, {specs[0].folder: engine}, {})


@cache
def items() -> list[Item]:
    """Of all three encoders, with texts up to the longest."""
    texts = workload()[::50]
    texts += [" ".join(workload())[start : start + size] for start, size in ((0, 350), (500, 600), (4000, 3000))]
    return [(index, each.ids, each.types) for index, encoder in enumerate(described()) for each in encoder.encode_batch(texts)]


@cache
def truth() -> list[np.ndarray]:
    return loaded("f32").run(items()).vectors


@pytest.mark.parametrize("encoders", [lambda: torch_encoders("f32"), end_to_end], ids=["blocks", "end_to_end"])
def test_float32_agrees_with_openvino_to_one_ten_thousandth(encoders) -> None:  # type: ignore[no-untyped-def]
    assert encoders().numerics == "torch-f32"
    for got, want in zip(encoders().run(items()).vectors, truth(), strict=True):
        assert got.shape == want.shape
        assert got.dtype == np.float32
        assert np.abs(got - want).max() <= 1e-4


@no_bf16
def test_bfloat16_points_where_float32_points_and_is_a_class_of_its_device() -> None:
    encoders = torch_encoders("bf16")
    assert encoders.numerics == f"torch-{'cuda' if cuda_devices() else 'cpu'}-bf16"
    for got, want in zip(encoders.run(items()).vectors, truth(), strict=True):
        assert cosines(got.reshape(1, -1), want.reshape(1, -1)).min() >= 0.9995


@pytest.mark.parametrize("encoders", [lambda: torch_encoders("f32"), end_to_end], ids=["blocks", "end_to_end"])
def test_a_text_has_the_same_vector_alone_and_inside_any_batch(encoders) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(7)
    for number in random.permutation(len(items()))[:25]:
        mates = [items()[mate] for mate in random.permutation(len(items()))[:11]]
        alone, together = (encoders().run([items()[number], *others]).vectors[0] for others in ([], mates))
        assert np.abs(alone - together).max() <= 1e-5


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_every_activation_pooling_and_mask_passes_the_check_at_start(activation: str, tmp_path: Path) -> None:
    """Masked encoders go through blocks, beside others in the same batch."""
    folder = write(tmp_path, config={"hidden_act": activation})
    models = [f"a={folder}:layers=-1", "b=a:pooling=cls-pooled", "c=a:pooling=none,layers=2+4,mask_special=yes"]
    assert Encoders.load(models, engine="torch", precision="f32", threads=1).numerics == "torch-f32"


def test_masked_and_open_sequences_share_a_pack_in_either_layout(tmp_path: Path) -> None:
    from embedding_service.model.torch_engine import TorchEngine

    folder = write(tmp_path)
    models = [f"a={folder}:layers=2", "b=a:pooling=none,layers=2+4,mask_special=yes"]
    want = Encoders.load(models, engine="openvino", precision="f32", threads=1)
    engine = TorchEngine(Checkpoint.open(folder), [2, 4], [2, 4], precision="f32", threads=1, end_to_end=True)
    got = Encoders(want._specs, {want._specs[0].folder: engine}, {})
    ids = np.array([2, 5, 6, 7, 3], np.int32)
    mixed: list[Item] = [(encoder, ids[:size], None) for size in (3, 4, 5) for encoder in (1, 0, 0, 1)]
    mixed = [(encoder, np.append(part[:-1], np.int32(3)), None) for encoder, part, _ in mixed]
    for one, other in zip(got.run(mixed).vectors, want.run(mixed).vectors, strict=True):
        assert np.abs(one - other).max() <= 1e-5


def test_the_top_of_a_pack_is_the_highest_layer_that_is_computed(tmp_path: Path) -> None:
    from embedding_service.model.torch_engine import TorchEngine

    checkpoint = Checkpoint.open(write(tmp_path))
    engine = TorchEngine(checkpoint, [2, 4], [2, 4], precision="f32", threads=1)
    encoders = Encoders.load([f"a={tmp_path}:layers=2", "b=a:layers=4"], engine="openvino", precision="f32", threads=1)
    ids = np.array([2, 5, 3], np.int32)
    for encoder, layers in ((0, {2}), (1, {2, 4})):
        pack, _ = encoders._pack([(encoder, ids, None)])
        [part] = engine.run(pack)
        assert set(part.states) == layers


def test_what_a_device_cannot_do_is_refused_with_what_it_can() -> None:
    from embedding_service.model.torch_device import cpu_precision, cuda_precision, is_carried

    for wanted in ("f16", "bf16"):
        with pytest.raises(Failed, match=f"{'CUDA' if wanted == 'f16' else 'bfloat16'}.*f32"):
            cpu_precision(wanted, able=False)
    with pytest.raises(Failed, match=r"7\.0 has no bfloat16.*--precision f16"):
        cuda_precision("bf16", (7, 0))
    assert [cuda_precision("auto", version) for version in ((7, 0), (8, 0), (9, 0))] == ["f16", "bf16", "bf16"]
    assert cpu_precision("auto", able=True) == "f32"
    with pytest.raises(InvalidInput, match="no precision int8"):
        loaded_encoders._torch(Checkpoint.open(described()[0].spec.folder), [described()[0].spec], "int8", 1)
    cuda13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
    carried = {version: is_carried(cuda13, version) for version in ((7, 0), (7, 5), (8, 9), (9, 0), (10, 3), (12, 1))}
    assert carried == {(7, 0): False, (7, 5): True, (8, 9): True, (9, 0): True, (10, 3): True, (12, 1): True}


def test_without_pytorch_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("embedding_service.model.torch_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Failed, match=r"pip install 'twohop\[cuda\]'"):
        Encoders.load(["minilm"], engine="torch", threads=1)


@pytest.mark.skipif(not cuda_devices(), reason="no CUDA device: recorded launches have nothing to run on")
def test_recorded_launches_give_what_their_first_run_gave() -> None:
    encoders = torch_encoders("auto")
    [engine] = encoders._engines.values()
    recorded, engine._recorded = engine._recorded, {}                       # type: ignore[attr-defined]
    plain = [encoders.run([item]).vectors[0] for item in items()]
    engine._recorded = recorded                                             # type: ignore[attr-defined]
    for item, want in zip(items(), plain, strict=True):
        assert np.abs(encoders.run([item]).vectors[0] - want).max() <= 1e-3 * max(1.0, float(np.abs(want).max()))
