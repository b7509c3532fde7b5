"""Profiles of a window of steps, and what a device could do at best."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax

from medvlp_jax.core.fields import CountOrAuto, Size

#: Dense bf16 FLOP/s that the makers publish, per JAX device, by the start of ``device_kind``
#: (longer names first). Sources: cloud.google.com/tpu/docs system architecture pages; NVIDIA data
#: sheets of A100, H100, H200 and HGX B200 (half of the figure "with sparsity").
PEAK_BF16_FLOPS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "TPU7x": 1153.5e12,  # a chip is two devices
    "NVIDIA A100": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA B200": 2250e12,
}


def peak_flops(device_kind: str) -> float | None:
    """Published dense bf16 FLOP/s of a device; ``None`` if it is not in the table (CPUs)."""
    for kind in sorted(PEAK_BF16_FLOPS, key=len, reverse=True):
        if device_kind.lower().startswith(kind.lower()):
            return PEAK_BF16_FLOPS[kind]
    return None


def memory_stats() -> dict[str, float]:
    """Device memory in GiB: now, at the peak, and in all; empty where the backend has no count."""
    stats: dict[str, Any] = jax.local_devices()[0].memory_stats() or {}
    names = {
        "memory_gib": "bytes_in_use",
        "memory_peak_gib": "peak_bytes_in_use",
        "memory_limit_gib": "bytes_limit",
    }
    return {name: stats[key] / 2**30 for name, key in names.items() if key in stats}


@dataclasses.dataclass(frozen=True)
class ProfileConfig:
    """Which steps to trace.

    Attributes:
      start: the first step of the window, counted from the start of this process (so that a
        resumed run can be profiled); -1 = never. Leave some steps for compilation.
      steps: length of the window.
    """

    start: CountOrAuto = -1
    steps: Size = 5


class Profiler:
    """Traces the window of steps that the config names into ``<workdir>/profile`` (xprof)."""

    def __init__(self, workdir: str | pathlib.Path, config: ProfileConfig) -> None:
        self._folder = pathlib.Path(workdir) / "profile"
        self._config = config
        self._seen = 0
        self._tracing = False

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Wraps one training step; marks it in the trace."""
        if self._seen == self._config.start:
            jax.profiler.start_trace(str(self._folder))
            self._tracing = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield
        self._seen += 1
        if self._tracing and self._seen == self._config.start + self._config.steps:
            self.close()

    def close(self) -> None:
        """Ends a trace that is still open."""
        if self._tracing:
            jax.profiler.stop_trace()
            self._tracing = False
