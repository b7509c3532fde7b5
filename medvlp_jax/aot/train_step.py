"""Ahead-of-time compilation of an experiment's training step for hardware that is not here."""

from collections.abc import Mapping
from typing import Any

import jax

from medvlp_jax.aot import topology
from medvlp_jax.aot.compiled import Slice, compile_programs
from medvlp_jax.aot.report import Report, held_bytes
from medvlp_jax.core import sharding
from medvlp_jax.core.state import param_count
from medvlp_jax.run.build import Run


def compile_step(
    config: Mapping[str, Any], name: str, *, text_len: int = 0, hlo_path: str | None = None
) -> Report:
    """Compiles one training step for the topology ``name``, such as ``v5e:4x4``.

    Nothing is allocated and no data is read. ``text_len`` 0 takes the longest bucket.

    Raises:
      UserError: no libtpu, an unknown topology, or a config that does not fit the mesh.
    """
    devices = topology.devices(name)
    experiment = Run(config, devices)
    c = experiment.config
    text_len = text_len or c.data.text.max_len
    step = experiment.train_step
    place = sharding.batch_sharding(experiment.mesh)
    spec = {
        key: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place)
        for key, s in experiment.batch_spec(text_len).items()
    }
    params = param_count(experiment.model_def.abstract_params)
    sizes = f"global batch {c.data.batch_size}, {text_len} tokens"
    return Report(
        name=c.name,
        slice=Slice.of(name, devices, experiment.mesh),
        what=f"{sizes}, {params / 1e6:.1f} M parameters",
        params=params,
        held={"state": held_bytes(step.abstract)},
        compiled=compile_programs({"step": step.lower(spec)}, hlo_path),
        flops=experiment.step_flops(c.data.batch_size, text_len),
    )
