"""Prediction for evaluators: named functions of a model and a batch, compiled for a mesh."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from medvlp_jax.core import sharding
from medvlp_jax.core.presets import forward_options
from medvlp_jax.core.processes import distributed
from medvlp_jax.core.state import ModelDef, TrainState

Tree = Any
Batch = Mapping[str, jax.Array]


class Predictor:
    """The task's predict functions on one state: ``predictor("image_embed", batch) -> rows``.

    Each process gives its own rows and gets all rows. Nothing is padded; a new shape compiles anew,
    so give batches of one size, and only the keys that the function reads.
    """

    def __init__(
        self, model_def: ModelDef, predict: Mapping[str, Callable[[Any, Batch], Any]], mesh: Mesh
    ) -> None:
        self.mesh = mesh
        self._model_def = model_def
        self._predict = predict
        self._compiled: dict[str, Any] = {}
        self._arrays: Any = None

    def with_state(self, state: TrainState, use_ema: bool = True) -> "Predictor":
        """A predictor that reads ``state`` (its averaged parameters, if it has some).

        It shares what is compiled. It is of no use after the next training step, which takes the
        state's memory.
        """
        return self.with_arrays(state.model_params(use_ema), state.buffers)

    def with_arrays(self, params: Tree, buffers: Tree) -> "Predictor":
        """A predictor that reads these arrays (``pretrained.load_model``)."""
        bound = Predictor(self._model_def, self._predict, self.mesh)
        bound._compiled = self._compiled
        bound._arrays = (params, buffers)
        return bound

    @property
    def arrays(self) -> tuple[Tree, Tree]:
        """The parameters and buffers that it reads.

        Raises:
          ValueError: it is not bound to any.
        """
        if self._arrays is None:
            raise ValueError("this predictor has no state yet: use with_state(state)")
        return self._arrays

    @property
    def names(self) -> tuple[str, ...]:
        """The functions that can be called."""
        return tuple(self._predict)

    def __call__(
        self,
        name: str,
        batch: Mapping[str, np.ndarray],
        shared: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Applies one predict function.

        Args:
          batch: this process's rows, as numpy arrays; those of text are ignored.
          shared: arrays that all rows are held against, whole and alike on every process; the
            function finds them in its batch.

        Returns:
          The rows of all processes, in the order of the global batch.
        """
        if name not in self._predict:
            raise KeyError(f"no predict function {name!r}; this task has: {', '.join(self.names)}")
        held = self.arrays
        many = jax.process_count() > 1
        rows = len(next(iter(batch.values())))
        split = many or rows % sharding.batch_shards(self.mesh) == 0
        place = sharding.batch_sharding(self.mesh) if split else sharding.replicated(self.mesh)
        arrays = distributed.make_global_batch(batch, place)
        if shared:
            whole = sharding.replicated(self.mesh)
            arrays |= {key: jax.device_put(value, whole) for key, value in shared.items()}
        if name not in self._compiled:
            # One process reads every shard itself; several need a copy of all rows each.
            out = sharding.replicated(self.mesh) if many else None
            options = forward_options(self.mesh.devices.flat[0].platform)
            self._compiled[name] = jax.jit(
                self._function(name), out_shardings=out, compiler_options=options
            )
        return jax.device_get(self._compiled[name](*held, arrays))

    def _function(self, name: str) -> Callable[[Tree, Tree, Batch], Any]:
        def function(params: Tree, buffers: Tree, batch: Batch) -> Any:
            with sharding.use_mesh(self.mesh):
                return self._predict[name](self._model_def.merge(params, buffers), batch)

        return function
