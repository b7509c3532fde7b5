"""Compiler settings that must be in the environment before JAX starts its backend."""

import importlib.metadata
import os

#: XLA reads the flag as a change to its default, which stays otherwise as it is.
_CONVOLUTIONS = "xla_cpu_experimental_ynn_fusion_type"
_CPU_FLAG = f"--{_CONVOLUTIONS}=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"
#: The releases of jaxlib that know the flag and were measured with it. XLA ends the process when
#: it meets an unknown flag, so others run without.
_MEASURED = ("0.10.",)
#: What is left to YNNPACK in a program that only goes forward.
_FORWARD = {_CONVOLUTIONS: "LIBRARY_FUSION_TYPE_REDUCE"}


def apply_cpu_preset() -> bool:
    """Makes XLA compile convolutions for CPUs with its older and faster library.

    jaxlib 0.10 hands them to YNNPACK, which is slow at their gradients: the forward and backward
    pass of a 3×3 convolution takes half the time without it. Matrix products and reductions stay
    with YNNPACK. ``launch/benchmark.py --only=cpu_preset`` measures what it gains.

    Call it before JAX compiles anything. Nothing changes on other platforms, on other releases of
    jaxlib, and where ``XLA_FLAGS`` already sets the flag.

    Returns:
      Whether the flag was set by this call.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "")
    given = os.environ.get("XLA_FLAGS", "")
    if (platforms and "cpu" not in platforms.split(",")) or _CONVOLUTIONS in given:
        return False
    if not importlib.metadata.version("jaxlib").startswith(_MEASURED):
        return False
    os.environ["XLA_FLAGS"] = f"{given} {_CPU_FLAG}".strip()
    return True


def forward_options(platform: str) -> dict[str, str] | None:
    """Compiler options of programs without gradients, for ``jax.jit(compiler_options=...)``.

    Where :func:`apply_cpu_preset` set its flag, matrix products are taken from YNNPACK too: those
    of a ViT-B/16 go forward in two thirds of the time. A training step is a tenth slower so, and
    keeps them. Scores differ in the last bits of float32. ``launch/benchmark.py --only=suite``
    measures it.

    Args:
      platform: of the devices that the program runs on.

    Returns:
      None where nothing is to change.
    """
    preset = platform == "cpu" and _CPU_FLAG in os.environ.get("XLA_FLAGS", "").split()
    return dict(_FORWARD) if preset else None
