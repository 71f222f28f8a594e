"""How many cores this process may really use, by its affinity and the quota of its control group (a container's CPU limit),
and what they can do."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")      # "max 100000", or "200000 100000" for two cores
CPU_FLAGS = Path("/proc/cpuinfo")


def available_cores(quota_file: Path = QUOTA) -> int:
    """At least 1. More threads than the quota would be stopped and started by the kernel, which is slower than fewer."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
        return max(1, min(affinity, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return affinity


def cpu_flags(flags_file: Path = CPU_FLAGS) -> set[str]:
    """What the processor can do, by the kernel's names; empty where the kernel does not say."""
    try:
        return set(flags_file.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return set()


def multiplies_int8(flags_file: Path = CPU_FLAGS) -> bool:
    """Whether the cores have dot products of int8 (AVX512-VNNI or AVX-VNNI)."""
    return bool({"avx512_vnni", "avx_vnni"} & cpu_flags(flags_file))


def has_matrix_units(flags_file: Path = CPU_FLAGS) -> bool:
    """Whether the cores multiply matrices of bfloat16 in units made for it (AMX)."""
    return "amx_bf16" in cpu_flags(flags_file)
