"""One training step: a pure function of state, batch and key, compiled for a mesh.

The step knows nothing of models. It asks the task for embeddings and a loss (or for a loss alone),
differentiates, and updates. Shardings are fixed at the ``jax.jit`` boundary.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from medvlp_jax.core import sharding
from medvlp_jax.core.optim import Optimizer, average, keep_if
from medvlp_jax.core.state import ModelDef, TrainState, combine

Tree = Any
Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]


class TaskLike(Protocol):
    """What the step needs of a task; ``medvlp_jax.tasks`` holds the real ones.

    A ``cached`` task has a loss over the whole batch (contrastive): ``embed(model, batch, rng)``
    gives per-example arrays and ``loss(model, embeddings, batch)`` the scalar, using the model
    only for its loss parameters. Other tasks have ``loss(model, None, batch, rng)``, a mean over
    examples.
    """

    cached: bool
    loss: Callable[..., tuple[jax.Array, Metrics]]


def abstract_state(model_def: ModelDef, optimizer: Optimizer, mesh: Mesh) -> TrainState:
    """The training state as ``ShapeDtypeStruct`` leaves that carry their shardings on ``mesh``."""
    shapes = jax.eval_shape(_init(model_def, optimizer), jax.random.key(0))
    places = sharding.tree_shardings(shapes, model_def.logical_axes, mesh)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, places
    )


def abstract_model(model_def: ModelDef, mesh: Mesh) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(params, buffers)`` of a whole model as ``ShapeDtypeStruct`` with shardings on ``mesh``."""
    shapes = (model_def.abstract_params, model_def.abstract_buffers)
    params, buffers = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        shapes,
        sharding.tree_shardings(shapes, model_def.logical_axes, mesh),
    )
    return params, buffers


def init_state(model_def: ModelDef, optimizer: Optimizer, key: jax.Array, mesh: Mesh) -> TrainState:
    """A fresh state, created in place on the devices that will hold it."""
    return make_init(model_def, optimizer, mesh)(key)


def make_init(
    model_def: ModelDef, optimizer: Optimizer, mesh: Mesh
) -> Callable[[jax.Array], TrainState]:
    """:func:`init_state` for several keys, compiled once."""
    places = shardings_of(abstract_state(model_def, optimizer, mesh))
    init = jax.jit(_init(model_def, optimizer), out_shardings=places)

    def fresh(key: jax.Array) -> TrainState:
        with sharding.use_mesh(mesh):
            return init(key)

    return fresh


def _init(model_def: ModelDef, optimizer: Optimizer) -> Callable[[jax.Array], TrainState]:
    def init(key: jax.Array) -> TrainState:
        everything, buffers = model_def.init(key)
        params, frozen = optimizer.split(everything)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            frozen=frozen,
            buffers=buffers,
            opt_state=optimizer.init(params),
            ema=jax.tree.map(jnp.copy, params) if optimizer.config.ema_decay else {},
        )

    return init


def shardings_of(tree: Tree) -> Tree:
    """The sharding of every leaf of a tree of arrays or ``ShapeDtypeStruct``."""
    return jax.tree.map(lambda x: x.sharding, tree)


@dataclasses.dataclass
class TrainStep:
    """A compiled step: ``state, metrics = step(state, batch, key)``. The old state is donated.

    ``key`` is the same for the whole run; the step folds in ``state.step``. Metrics are fp32
    scalars on the device: ``loss``, ``lr``, ``grad_norm`` (before clipping), ``param_norm``,
    ``update_norm``, ``skipped`` (updates skipped so far) and the task's own.

    Attributes:
      traces: times the step was traced; one per batch shape, or something is recompiling.
    """

    mesh: Mesh
    abstract: TrainState
    traces: int = 0
    _jitted: Any = None

    def __call__(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Any]:
        return self._jitted(state, dict(batch), key)

    def lower(self, batch_spec: Mapping[str, jax.ShapeDtypeStruct]) -> Any:
        """Lowers for a global batch of these shapes; needs no device of the mesh to exist."""
        key = jax.eval_shape(lambda: jax.random.key(0))
        return self._jitted.lower(self.abstract, dict(batch_spec), key)


def make_train_step(
    model_def: ModelDef,
    task: TaskLike,
    optimizer: Optimizer,
    mesh: Mesh,
    *,
    micro_batches: int = 1,
) -> TrainStep:
    """Builds the step for a mesh.

    Args:
      micro_batches: pieces into which each batch is cut to save memory. For a ``cached`` task the
        result is the gradient of the whole batch (GradCache, Gao et al. 2021, arXiv:2101.06983, at
        the price of a second forward pass), except that batch norm sees only its piece; for other
        tasks it is the mean over equal pieces.
    """
    gradients = _gradients(model_def, task, micro_batches)
    step = TrainStep(mesh=mesh, abstract=abstract_state(model_def, optimizer, mesh))

    def train_step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        step.traces += 1
        with sharding.use_mesh(mesh):
            rng = jax.random.fold_in(key, state.step)
            (loss, metrics), buffers, grads = gradients(state, batch, rng)
            params, opt_state, info = optimizer.update(
                grads, state.opt_state, state.params, state.step
            )
            ema = state.ema
            if ema:
                ema = average(ema, params, optimizer.config.ema_decay, state.step)
            if opt_state.skip is not None:
                buffers = keep_if(info.skip, state.buffers, buffers)
                ema = keep_if(info.skip, state.ema, ema)
                metrics = metrics | {"skipped": opt_state.skip.skipped}
            metrics = metrics | {
                "loss": loss,
                "lr": info.lr,
                "grad_norm": info.grad_norm,
                "update_norm": info.update_norm,
                "param_norm": optax.tree.norm(params),
            }
            new = TrainState(state.step + 1, params, state.frozen, buffers, opt_state, ema)
            return new, {k: jnp.asarray(v, jnp.float32) for k, v in metrics.items()}

    places = shardings_of(step.abstract)
    alone = sharding.replicated(mesh)
    step._jitted = jax.jit(
        train_step,
        in_shardings=(places, sharding.batch_sharding(mesh), alone),
        out_shardings=(places, alone),
        donate_argnums=0,
    )
    return step


def _gradients(model_def: ModelDef, task: Any, micro_batches: int) -> Callable[..., Any]:
    """``(state, batch, rng) -> ((loss, metrics), buffers, gradients of state.params)``."""

    def embed(params: Tree, state: TrainState, buffers: Tree, batch: Batch, rng: Any) -> Any:
        model = model_def.merge(combine(params, state.frozen), buffers)
        return task.embed(model, batch, rng), model_def.buffers_of(model)

    def head(params: Tree, embeddings: Any, state: TrainState, batch: Batch) -> Any:
        model = model_def.merge(combine(params, state.frozen), state.buffers)
        return task.loss(model, embeddings, batch)

    def additive(params: Tree, state: TrainState, buffers: Tree, batch: Batch, rng: Any) -> Any:
        model = model_def.merge(combine(params, state.frozen), buffers)
        loss, metrics = task.loss(model, None, batch, rng)
        return loss, (metrics, model_def.buffers_of(model))

    def whole(state: TrainState, batch: Batch, rng: Any) -> Any:
        def loss_fn(params: Tree) -> Any:
            if not task.cached:
                return additive(params, state, state.buffers, batch, rng)
            embeddings, buffers = embed(params, state, state.buffers, batch, rng)
            loss, metrics = head(params, embeddings, state, batch)
            return loss, (metrics, buffers)

        (loss, (metrics, buffers)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        return (loss, metrics), buffers, grads

    def cached(state: TrainState, batch: Batch, rng: Any) -> Any:
        pieces, keys = _cut(batch, micro_batches), jax.random.split(rng, micro_batches)

        def look(buffers: Tree, piece: Any) -> Any:
            embeddings, buffers = embed(state.params, state, buffers, *piece)
            return buffers, embeddings

        new_buffers, stacked = jax.lax.scan(look, state.buffers, (pieces, keys))
        (loss, metrics), (grads, cotangents) = jax.value_and_grad(head, (0, 1), has_aux=True)(
            state.params, _join(stacked), state, batch
        )

        # The second pass starts from the same buffers, so it repeats the first exactly.
        def learn(carry: Any, piece: Any) -> Any:
            grads, buffers = carry
            *inputs, cotangent = piece
            _, pull, buffers = jax.vjp(
                lambda p: embed(p, state, buffers, *inputs), state.params, has_aux=True
            )
            return (jax.tree.map(jnp.add, grads, pull(cotangent)[0]), buffers), None

        pulled = (pieces, keys, _cut(cotangents, micro_batches))
        (grads, _), _ = jax.lax.scan(learn, (grads, state.buffers), pulled)
        return (loss, metrics), new_buffers, grads

    def accumulated(state: TrainState, batch: Batch, rng: Any) -> Any:
        pieces, keys = _cut(batch, micro_batches), jax.random.split(rng, micro_batches)
        differentiate = jax.value_and_grad(additive, has_aux=True)

        def learn(carry: Any, piece: Any) -> Any:
            grads, buffers = carry
            (loss, (metrics, buffers)), new = differentiate(state.params, state, buffers, *piece)
            return (jax.tree.map(jnp.add, grads, new), buffers), (loss, metrics)

        zeros = jax.tree.map(jnp.zeros_like, state.params)
        (grads, buffers), outs = jax.lax.scan(learn, (zeros, state.buffers), (pieces, keys))
        loss, metrics = jax.tree.map(lambda x: jnp.mean(x, axis=0), outs)
        return (loss, metrics), buffers, jax.tree.map(lambda g: g / micro_batches, grads)

    if micro_batches == 1:
        return whole
    return cached if task.cached else accumulated


def _cut(tree: Tree, pieces: int) -> Tree:
    """[b, ...] -> [pieces, b / pieces, ...]; piece i takes rows i, i + pieces, i + 2 pieces, ...

    Strided, so that every device keeps its own rows: contiguous pieces would move the batch.
    """

    def cut(x: jax.Array) -> jax.Array:
        if x.shape[0] % pieces:
            raise ValueError(f"a batch of {x.shape[0]} rows cannot be cut into {pieces} pieces")
        x = x.reshape(x.shape[0] // pieces, pieces, *x.shape[1:])
        return sharding.constrain(jnp.swapaxes(x, 0, 1), None, "batch")

    return jax.tree.map(cut, tree)


def _join(tree: Tree) -> Tree:
    """Inverse of :func:`_cut`."""

    def join(x: jax.Array) -> jax.Array:
        x = jnp.swapaxes(x, 0, 1)
        return sharding.constrain(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), "batch")

    return jax.tree.map(join, tree)
