"""Ahead-of-time compilation of an experiment's training step for hardware that is not here."""

from collections.abc import Mapping
from typing import Any

import jax

from medvlp_jax.aot import topology
from medvlp_jax.aot.compiled import Slice, compile_programs
from medvlp_jax.aot.report import Report, held_bytes
from medvlp_jax.aot.roofline import roofline
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
    rows = c.data.batch_size
    sizes = f"global batch {rows}, {text_len} tokens, {_how(experiment)}"
    where = Slice.of(name, devices, experiment.mesh)
    compiled = compile_programs({"step": step.lower(spec)}, hlo_path)
    executed, note = executed_flops(experiment, rows, text_len)
    return Report(
        name=c.name,
        slice=where,
        what=f"{sizes}, {params / 1e6:.1f} M parameters",
        params=params,
        held={"state": held_bytes(step.abstract)},
        compiled=compiled,
        flops=experiment.step_flops(rows, text_len),
        roofline=roofline(where, compiled, executed, rows, note),
    )


def executed_flops(run: Run, rows: int, text_len: int) -> tuple[float, str]:
    """Operations of a step with those of ``remat``, and what is counted, in words.

    A tower that keeps nothing (``full``) runs forward once more for its gradient; what the other
    policies compute again is left out.
    """
    model = run.model_config
    again = []
    total = run.step_flops(rows, text_len)
    for side in model.TOWERS:
        tower = getattr(model, side)
        if getattr(tower, "remat", "none") == "full":
            again.append(side)
            total += rows * (tower.flops(text_len) if side == "text" else tower.flops(train=True))
    twice = f"the {' and '.join(again)} tower run forward twice (remat full)" if again else ""
    return total, "; ".join(filter(None, ["three forward passes' worth of arithmetic", twice]))


def _how(run: Run) -> str:
    """What decides about memory beside the sizes."""
    c, model = run.config, run.model_config
    remat = dict.fromkeys(getattr(getattr(model, s), "remat", "none") for s in model.TOWERS)
    impl = c.task.get("impl", "")
    said = [
        f"in {c.micro_batches} parts" if c.micro_batches > 1 else "",
        f"{impl} loss" if impl else "",
    ]
    return ", ".join(filter(None, [*said, f"remat {'/'.join(remat)}"]))
