"""Devices that are not here: TPU slices described by libtpu, for ahead-of-time compilation."""

import os
import re
from collections.abc import Sequence
from typing import Any

from medvlp_jax.core.errors import UserError

#: Usable HBM of one JAX device in bytes, by the family in a topology name. Sources: the system
#: architecture pages of cloud.google.com/tpu/docs (a v4 or v5p chip is one device, a v2, v3 or
#: tpu7x chip two).
HBM = {
    "v2": 8 << 30,
    "v3": 16 << 30,
    "v4": 32 << 30,
    "v5e": 16 << 30,
    "v5p": 95 << 30,
    "v6e": 32 << 30,
    "tpu7x": 96 << 30,
}


def prepare() -> None:
    """Sets what libtpu needs on a machine without a TPU; must run before JAX is used."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # several compilations side by side
    os.environ.setdefault("TPU_STDERR_LOG_LEVEL", "3")
    # Asked for before the topology is known; without them libtpu complains on stderr.
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")


def devices(topology: str) -> Sequence[Any]:
    """Abstract devices of a slice.

    Args:
      topology: family and chips per axis: ``v5e:4x4``, ``v5p:2x2x4``, ``v6e:8x8``.

    Raises:
      UserError: libtpu is not installed, or does not know the topology.
    """
    from jax.experimental import topologies

    if not re.fullmatch(r"(v\d+[ep]?|tpu7x):\d+(x\d+){1,2}", topology):
        raise UserError(
            f"topology {topology!r} must look like v5e:4x4, v5p:2x2x4 or v6e:8x8 "
            f"(families: {', '.join(HBM)})"
        )
    try:
        description = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except Exception as e:  # libtpu reports all of its troubles as RuntimeError or worse
        text = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise UserError(
            f"no description of {topology}: {text}. Compiling for a TPU that is not here needs "
            "libtpu: pip install -c requirements.lock '.[aot]'"
        ) from e
    return description.devices


def hbm(topology: str) -> int:
    """Bytes of memory of one device of a topology."""
    return HBM[topology.partition(":")[0]]
