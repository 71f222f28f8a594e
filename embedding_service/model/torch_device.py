"""Which device PyTorch computes on, at what precision, and whether this build of PyTorch can: every refusal says what to do."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import NamedTuple

import torch

from embedding_service.model.devices import cpu_computes_bfloat16, cuda_devices
from twohop.errors import Failed, InvalidInput

AMPERE = (8, 0)         # from here on: bfloat16, and attention of variable length
PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Target(NamedTuple):
    """`capability`: CUDA's compute capability; (0, 0) is the CPU."""

    device: torch.device
    precision: str                      # f32, bf16, f16
    capability: tuple[int, int]

    @property
    def dtype(self) -> torch.dtype:
        return PRECISIONS[self.precision]

    @property
    def numerics(self) -> str:
        """At float32 all devices agree to rounding noise and are one class; below, their kernels round at different places."""
        return "torch-f32" if self.precision == "f32" else f"torch-{self.device.type}-{self.precision}"

    def has_varlen(self, width: int) -> bool:
        """Whether attention of variable length runs here, for heads of this width."""
        return (self.capability >= AMPERE and self.precision != "f32" and width % 8 == 0 and width <= 256
                and torch.backends.cuda.is_flash_attention_available()
                and importlib.util.find_spec("torch.nn.attention.varlen") is not None)


def choose(precision: str) -> Target:
    """The first CUDA device that this process sees, else the CPU. Raises Failed where this build or device cannot
    do it, InvalidInput for a precision that no device has here."""
    if precision not in ("auto", *PRECISIONS):
        raise InvalidInput(f"--engine torch has no precision {precision}; it has auto, {', '.join(PRECISIONS)}",
                           detail={"precision": precision})
    if not cuda_devices():
        return Target(torch.device("cpu"), cpu_precision(precision, able=cpu_computes_bfloat16()), (0, 0))
    if not torch.cuda.is_available():
        raise Failed(
            f"this machine has an NVIDIA device, but PyTorch {torch.__version__} cannot use it: install a build for CUDA that "
            "fits the driver (docs/operations.md, GPU), or compute on the CPU: --engine openvino",
            detail={"torch": torch.__version__},
        )
    device, capability = torch.device("cuda", 0), torch.cuda.get_device_capability(0)
    if not is_carried(torch.cuda.get_arch_list(), capability):
        raise Failed(
            f"PyTorch {torch.__version__} has no code for {torch.cuda.get_device_name(0)}, compute capability {capability[0]}."
            f"{capability[1]}: install a build that has (before 7.5 one for CUDA 12.6, such as torch==2.13.0+cu126)",
            detail={"torch": torch.__version__, "capability": list(capability)},
        )
    return Target(device, cuda_precision(precision, capability), capability)


def cpu_precision(wanted: str, *, able: bool) -> str:
    """`able`: whether the CPU computes in bfloat16."""
    if wanted == "f16":
        raise Failed("--precision f16 is for CUDA devices: use f32 or bf16 on a CPU", detail={"precision": wanted})
    if wanted == "bf16" and not able:
        raise Failed("this CPU has no bfloat16 arithmetic: use --precision f32", detail={"precision": wanted})
    return "f32" if wanted == "auto" else wanted


def cuda_precision(wanted: str, capability: tuple[int, int]) -> str:
    if wanted == "bf16" and capability < AMPERE:
        raise Failed(
            f"a device of compute capability {capability[0]}.{capability[1]} has no bfloat16 arithmetic (8.0 and later do): "
            "use --precision f16 (or auto)", detail={"precision": wanted, "capability": list(capability)},
        )
    return ("bf16" if capability >= AMPERE else "f16") if wanted == "auto" else wanted


def is_carried(architectures: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether a build for `architectures` (sm_80, compute_120, …) runs there: machine code serves its own major version from
    its minor on, intermediate code everything later."""
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        number = digits.rstrip("af")                    # sm_90a, sm_100f
        built = int(number[:-1]), int(number[-1])
        if (kind == "sm" and built[0] == capability[0] and built <= capability) or (kind == "compute" and built <= capability):
            return True
    return False
