"""Makes the folders that infinity's ONNX engine reads from an encoder folder. Runs in .venv-infinity.

`f32-stock` and `int8-stock` are what its users get: optimum's export, and ONNX Runtime's dynamic quantisation by its defaults.
`f32` and `int8` are its best: attention, GELU and layer norms fused, which infinity means to do at start and cannot with the
optimum that fits this torch, and int8 weights with a scale per channel, no slower than one per tensor, much nearer to f32."""

import json
import shutil
import sys
from pathlib import Path

from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model
from optimum.exporters.onnx import main_export


def main(encoder: Path, target: Path) -> None:
    stock, f32 = target / "f32-stock", target / "f32"
    main_export(str(encoder), stock, task="feature-extraction", library_name="transformers", do_validation=False)
    shutil.copytree(stock, f32)
    fuse(f32)
    quantize(stock, target / "int8-stock")
    quantize(f32, target / "int8", per_channel=True)


def quantize(f32: Path, int8: Path, *, per_channel: bool = False) -> None:
    shutil.copytree(f32, int8, ignore=shutil.ignore_patterns("*.onnx"))
    quantize_dynamic(
        f32 / "model.onnx", int8 / "model_quantized.onnx", weight_type=QuantType.QInt8, per_channel=per_channel,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},      # fused operators do not say their outputs' type
    )


def fuse(folder: Path) -> None:
    shape = json.loads((folder / "config.json").read_text("utf-8"))
    fused = optimize_model(
        str(folder / "model.onnx"), model_type="bert", num_heads=shape["num_attention_heads"], hidden_size=shape["hidden_size"],
        opt_level=1,
    )
    if not fused.is_fully_optimized():
        sys.exit("ONNX Runtime did not recognise the encoder's graph as BERT's")
    fused.save_model_to_file(str(folder / "model.onnx"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
