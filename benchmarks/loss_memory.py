"""Memory of the contrastive loss: the ring against gathering all embeddings on every device."""

from benchmarks.harness import Side, Tell, Worker
from benchmarks.report import Row, Target
from benchmarks.settings import Settings

TARGET = Target(0.25, at_most=True)
_DEVICES = 8
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
        Side("loss memory", "benchmarks.our_loss_memory:make", env=flags), settings.threads
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
