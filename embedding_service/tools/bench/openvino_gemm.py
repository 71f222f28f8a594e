"""Chains of matrix products in OpenVINO, compiled as the engine compiles its graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import openvino as ov
from openvino import opset15 as op

from embedding_service.tools.bench.gemm import Shape

INT8_RANGE = 4.0        # inputs are normal, and so is what comes out of products with weights of 1 / sqrt(width)


def chains(shape: Shape, precision: str, products: int, *, streams: int, threads: int) -> list[Callable[[], None]]:
    """One for each stream; a call runs all products."""
    core = ov.Core()
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    hint = ("bf16" if able else "f32") if precision == "int8" else precision
    options = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams,
               "ENABLE_CPU_PINNING": False}
    compiled = core.compile_model(_model(shape, products, quantised=precision == "int8"), "CPU", options)
    rows = np.random.default_rng(0).standard_normal((shape.rows, shape.inner), np.float32)
    requests = [compiled.create_infer_request() for _ in range(streams)]
    for request in requests:
        request.infer([rows], share_inputs=True, share_outputs=True)
    return [partial(_run, request, rows) for request in requests]


def _run(request: ov.InferRequest, rows: np.ndarray) -> None:
    request.infer([rows], share_inputs=True, share_outputs=True)


def _model(shape: Shape, products: int, *, quantised: bool) -> ov.Model:
    random = np.random.default_rng(1)
    given = op.parameter([shape.rows, shape.inner], ov.Type.f32)
    x: ov.Node = given
    into, out = shape.inner, shape.outer
    for _ in range(products):
        weights = random.standard_normal((out, into), np.float32) / np.sqrt(np.float32(into))
        x = op.matmul(_quantised(x) if quantised else x, _int8(weights) if quantised else op.constant(weights), False, True)
        into, out = out, into
    return ov.Model([op.result(x)], [given], "products")


def _quantised(x: ov.Node) -> ov.Node:
    low, high = op.constant(np.float32(-INT8_RANGE)), op.constant(np.float32(INT8_RANGE * 127 / 128))
    return op.fake_quantize(x, low, high, low, high, 256)


def _int8(weights: np.ndarray) -> ov.Node:
    """[out, in] as int8 with a scale for each row, the form that the engine computes in int8."""
    scale = np.abs(weights).max(axis=1, keepdims=True) / np.float32(127)
    whole = op.constant(np.round(weights / scale).astype(np.int8))
    return op.multiply(op.convert(whole, ov.Type.f32), op.constant(scale))
