"""What this machine can compute on, found out without importing anything heavy: a start on a CPU must not wait for PyTorch."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from embedding_service.model.cores import CPU_FLAGS, cpu_flags

BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}         # x86, x86, Arm


def cuda_devices(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> tuple[str, ...]:
    """The NVIDIA devices that this process may use, each as CUDA_VISIBLE_DEVICES names it; () without any.

    As CUDA does it, a list ends at the first name that is no device, and "" or "-1" hides them all.
    """
    count = _count(root)
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if not count or chosen is None:
        return tuple(str(number) for number in range(count))
    devices: list[str] = []
    for name in (each.strip() for each in chosen.split(",")):
        if not (name.isdecimal() and int(name) < count) and not name.startswith(("GPU-", "MIG-")):
            break
        devices.append(name)
    return tuple(devices)


def computing_devices(engine: str, precision: str) -> tuple[str, ...]:
    """The NVIDIA devices that these flags mean, a worker for each; () for the CPU. `auto` takes devices where PyTorch can use
    them; int8 is the CPU's."""
    wanted = engine == "torch" or (engine == "auto" and precision != "int8")
    return cuda_devices() if wanted and importlib.util.find_spec("torch") is not None else ()


def cpu_computes_bfloat16(flags_file: Path = CPU_FLAGS) -> bool:
    """Whether the processor has instructions for it; without them it is slower than float32."""
    return bool(BFLOAT16 & cpu_flags(flags_file))


def _count(root: Path) -> int:
    """Of the loaded driver; in a container that sees only some devices, of those."""
    of_driver = list(root.glob("proc/driver/nvidia/gpus/*"))
    return len(of_driver or [node for node in root.glob("dev/nvidia*") if node.name.removeprefix("nvidia").isdecimal()])
