"""How the records of a batch lie on a mesh."""

from typing import Any

from jax.sharding import Mesh, PartitionSpec

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.sharding import BATCH_AXES, batch_shards
from medvlp_jax.losses.pairs import PairTerms

#: PartitionSpecs of arrays with one row a record, and of what all devices share.
ROWS, WHOLE = PartitionSpec(BATCH_AXES), PartitionSpec()
_SPECS: tuple[Any, ...] = (WHOLE, ROWS, ROWS, ROWS, ROWS)
#: PartitionSpecs of :class:`PairTerms`.
TERMS = PairTerms(*_SPECS)


def check_divisible(batch: int, mesh: Mesh) -> None:
    """Raises :class:`ConfigError` if a batch cannot be split evenly over the mesh."""
    shards = batch_shards(mesh)
    if batch % shards:
        axes = " x ".join(f"{a}={mesh.shape[a]}" for a in BATCH_AXES)
        raise ConfigError(
            f"a global batch of {batch} records does not divide into the {shards} shards of the "
            f"mesh ({axes}); make the batch size a multiple of {shards}"
        )
