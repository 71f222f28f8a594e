"""How many cores this process may really use, by its affinity and the quota of its control group (a container's CPU limit),
and whether they multiply int8."""

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


def multiplies_int8(flags_file: Path = CPU_FLAGS) -> bool:
    """Whether the cores have dot products of int8 (AVX512-VNNI or AVX-VNNI), as far as the kernel says."""
    try:
        return bool({"avx512_vnni", "avx_vnni"} & set(flags_file.read_text().split()))
    except OSError:
        return False
