"""Memory of the contrastive loss: the ring against gathering all embeddings on every device."""

from typing import Any, Literal

from benchmarks.harness import Side, Tell, Worker
from benchmarks.report import Row, Target
from benchmarks.settings import Settings

TARGET = Target(0.25, at_most=True)
_DEVICES, _WIDTH = 8, 512
_NOTE = (
    f"temporary bytes per device of value and gradient on {_DEVICES} forced devices, from the "
    "compiled programs; both sides are this package's, impl='ring' and impl='gathered'. A ratio "
    "of two counts has no spread."
)


def run(settings: Settings, tell: Tell) -> list[Row]:
    """One row per global batch."""
    rows = []
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={_DEVICES}"}
    with Worker(
        Side("loss memory", f"{__name__}:LossMemory", env=flags), settings.threads
    ) as worker:
        for batch in (8192,) if settings.quick else (8192, 32768):
            tell(f"compiling for a global batch of {batch:,}")
            ring, gathered = (
                worker.call("temporary_bytes", impl=impl, batch=batch)
                for impl in ("ring", "gathered")
            )
            rows.append(
                Row(
                    what=f"loss memory, global batch {batch:,}",
                    ours=f"{ring / 2**20:.1f} MiB",
                    peer=f"{gathered / 2**20:.1f} MiB",
                    value=ring / gathered,
                    spread=(ring / gathered, ring / gathered),
                    target=TARGET,
                    note=_NOTE,
                    raw={"unit": "bytes", "ours": ring, "peer": gathered},
                )
            )
    return rows


class LossMemory:
    """InfoNCE of ``batch`` pairs, forward and backward, fp32, over all devices; nothing runs."""

    def temporary_bytes(self, impl: Literal["gathered", "ring"], batch: int) -> int:
        import jax
        import jax.numpy as jnp

        from medvlp_jax.core import sharding
        from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh
        from medvlp_jax.losses.embeddings import infonce
        from medvlp_jax.losses.gathered import gathered_softmax_pairs
        from medvlp_jax.losses.ring import Ring
        from medvlp_jax.losses.ring_softmax import ring_softmax_pairs

        mesh = make_mesh(MeshConfig(data=-1))
        place = batch_sharding(mesh)
        side = jax.ShapeDtypeStruct((batch, _WIDTH), jnp.float32, sharding=place)
        scale = jax.ShapeDtypeStruct((), jnp.float32)
        pairs = (
            ring_softmax_pairs(Ring(mesh, None)) if impl == "ring" else gathered_softmax_pairs(mesh)
        )

        def loss(image: Any, text: Any, scale: Any) -> Any:
            return infonce(image, text, scale, pairs=pairs)[0]

        step = jax.jit(
            jax.value_and_grad(loss, argnums=(0, 1, 2)), out_shardings=(None, (place, place, None))
        )
        with sharding.use_mesh(mesh):
            memory: Any = step.lower(side, side, scale).compile().memory_analysis()
        return memory.temp_size_in_bytes
