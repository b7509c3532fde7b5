"""Visiting all pairs of two sets of records that are spread over a ring of devices.

Each device keeps its rows and passes its columns on to its neighbour (``lax.ppermute``); after as
many hops as there are devices every row has met every column and the columns are home again.
Whatever is reduced over columns stays with the rows, whatever is reduced over rows travels with the
columns, so one trip serves both. Inside a hop the pairs are visited in square tiles: of an
``n x n`` matrix no more than ``block x block`` exists at a time.

The idea is that of the chunked sigmoid loss (Zhai et al. 2023, arXiv:2303.15343) and of Inf-CL
(Cheng et al. 2024, arXiv:2410.17243). Nothing here is meant to be differentiated by JAX, which
would keep every tile.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import Mesh

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.sharding import BATCH_AXES, batch_shards
from medvlp_jax.losses.shards import check_divisible

#: Side of a tile where the caller names none: 512 x 512 fp32 logits are 1 MiB.
_LARGEST_BLOCK, _SMALLEST_BLOCK = 512, 128


@dataclasses.dataclass(frozen=True)
class Ring:
    """Where pairs are visited, and in tiles of which size.

    Attributes:
      mesh: the devices; None or a single batch shard means no communication, only tiles.
      block: side of a tile, a divisor of the records a device holds (or larger than these); None
        picks the largest divisor from 512 down to 128, or one tile if there is none.
    """

    mesh: Mesh | None = None
    block: int | None = None

    @property
    def hops(self) -> int:
        return 1 if self.mesh is None else batch_shards(self.mesh)

    def tile(self, batch: int) -> int:
        """The side of a tile for a global batch.

        Raises:
          ConfigError: the batch does not divide into the shards, or a shard into blocks.
        """
        if self.mesh is not None:
            check_divisible(batch, self.mesh)
        local = batch // self.hops
        if self.block is None:
            sides = range(min(local, _LARGEST_BLOCK), min(local, _SMALLEST_BLOCK) - 1, -1)
            return next((side for side in sides if local % side == 0), local)
        if self.block < 1:
            raise ConfigError(f"block={self.block} must be positive")
        if local > self.block and local % self.block:
            raise ConfigError(
                f"block={self.block} does not divide the {local} records of a device "
                f"({batch} records on {self.hops} shards)"
            )
        return min(local, self.block)

    def run(self, shard: Callable[..., Any], in_specs: Any, out_specs: Any) -> Callable[..., Any]:
        """``shard`` as a function of global arrays; the other methods are for its inside."""
        if self.mesh is None or self.hops == 1:
            return shard
        return jax.shard_map(shard, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs)

    def sum(self, totals: Any) -> Any:
        """Sums scalars over the devices."""
        return totals if self.hops == 1 else lax.psum(totals, BATCH_AXES)

    def visit(
        self,
        block: int,
        tile: Callable[[Any, Any, Any, Any], tuple[Any, Any]],
        rows: Any,
        columns: Any,
        row_state: Any,
        column_state: Any,
    ) -> tuple[Any, Any]:
        """Calls ``tile`` on every pair of blocks; returns the final states, each at its home.

        All are trees of arrays with this device's records in front. ``tile`` maps blocks of
        ``(rows, columns, row_state, column_state)`` to the new blocks of the two states.

        Args:
          block: side of a tile, from :meth:`tile`.
          tile: reduces one tile.
          rows: stay on their device.
          columns: travel once around.
          row_state: initial values, made by ``zeros_like`` and its kin from ``rows``.
          column_state: the same; travels with ``columns``.
        """
        local = jax.tree.leaves(rows)[0].shape[0]
        sides = local // block

        def step(columns: Any, index: Any, states: tuple[Any, Any]) -> tuple[Any, Any]:
            i, j = index // sides, index % sides
            row_state, column_state = states
            new = tile(_at(rows, i), _at(columns, j), _at(row_state, i), _at(column_state, j))
            return _put(row_state, new[0], i), _put(column_state, new[1], j)

        def hop(carry: tuple[Any, Any, Any], _: None) -> tuple[tuple[Any, Any, Any], None]:
            columns, row_state, column_state = carry
            # Sent before the work on them, so that the transfer can hide behind it.
            arriving = self._pass_on(columns)
            row_state, column_state = lax.fori_loop(
                0, sides * sides, functools.partial(step, columns), (row_state, column_state)
            )
            return (arriving, row_state, self._pass_on(column_state)), None

        rows, *carry = jax.tree.map(
            lambda x: x.reshape(sides, block, *x.shape[1:]),
            (rows, columns, row_state, column_state),
        )
        (_, *states), _ = lax.scan(hop, tuple(carry), length=self.hops)
        row_state, column_state = jax.tree.map(lambda x: x.reshape(local, *x.shape[2:]), states)
        return row_state, column_state

    def _pass_on(self, tree: Any) -> Any:
        if self.hops == 1:
            return tree
        ring = [(i, (i + 1) % self.hops) for i in range(self.hops)]
        return lax.ppermute(tree, BATCH_AXES, ring)


def _at(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, index, keepdims=False), tree)


def _put(tree: Any, part: Any, index: Any) -> Any:
    return jax.tree.map(lambda x, p: lax.dynamic_update_index_in_dim(x, p, index, 0), tree, part)
