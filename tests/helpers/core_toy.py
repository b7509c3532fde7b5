"""A two-tower model and its tasks, small enough for every test of core."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from medvlp_jax.core import sharding
from medvlp_jax.core.optim import Optimizer
from medvlp_jax.core.state import ModelDef, TrainState, flatten, unflatten

WIDTH, HIDDEN, JOINT, LAYERS, PIXELS, VOCAB = 16, 32, 8, 3, 12, 24


def _param(key: jax.Array, shape: tuple[int, ...], axes: tuple[str | None, ...]) -> nnx.Param:
    scale = shape[0] ** -0.5 if len(shape) > 1 else 1.0
    return nnx.Param(scale * jax.random.normal(key, shape), logical_axes=axes)


class Block(nnx.Module):
    def __init__(self, key: jax.Array) -> None:
        k1, k2 = jax.random.split(key)
        self.norm = nnx.Param(jnp.ones(WIDTH), logical_axes=("norm",))
        self.up = _param(k1, (WIDTH, HIDDEN), ("embed", "mlp"))
        self.bias = nnx.Param(jnp.zeros(HIDDEN), logical_axes=("norm",))
        self.down = _param(k2, (HIDDEN, WIDTH), ("mlp", "embed"))

    def __call__(self, x: jax.Array) -> jax.Array:
        h = jnp.tanh((x * self.norm[...]) @ self.up[...] + self.bias[...])
        return sharding.constrain(x + h @ self.down[...], "batch")


class Tower(nnx.Module):
    def __init__(self, key: jax.Array, inputs: int) -> None:
        k1, k2, k3 = jax.random.split(key, 3)
        self.embed = _param(k1, (inputs, WIDTH), (None, "embed"))
        self.position = _param(k2, (1, WIDTH), ("position", "embed"))
        self.blocks = jax.vmap(Block)(jax.random.split(k3, LAYERS))
        self.mean = nnx.BatchStat(jnp.zeros(WIDTH), logical_axes=("norm",))
        self.head = _param(key, (WIDTH, JOINT), ("embed", "joint"))

    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = x @ self.embed[...] + self.position[...]
        if train:
            self.mean[...] = 0.9 * self.mean[...] + 0.1 * jnp.mean(x, axis=0)
        x, _ = jax.lax.scan(lambda h, block: (block(h), None), x, self.blocks)
        x = x @ self.head[...]
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


class TwoTower(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.vision = Tower(rngs.params(), PIXELS)
        self.text = Tower(rngs.params(), VOCAB)
        self.logit_scale = nnx.Param(jnp.float32(1.0), logical_axes=())


class Contrastive:
    """InfoNCE on the toy; ``noise`` makes the step depend on its random key."""

    cached = True

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise
        self.predict = {
            "image_embed": lambda model, batch: model.vision(batch["image"]),
            "text_embed": lambda model, batch: model.text(jax.nn.one_hot(batch["text"], VOCAB)),
        }

    def embed(self, model: TwoTower, batch: Any, rng: jax.Array) -> tuple[jax.Array, jax.Array]:
        image = batch["image"]
        if self.noise:
            image = image + self.noise * jax.random.normal(rng, image.shape)
        text = jax.nn.one_hot(batch["text"], VOCAB)
        return model.vision(image, train=True), model.text(text, train=True)

    def loss(self, model: TwoTower, embeddings: Any, batch: Any) -> tuple[jax.Array, dict]:
        image, text = embeddings
        logits = jnp.exp(model.logit_scale[...]) * image @ text.T
        both = jnp.diag(jax.nn.log_softmax(logits, 0) + jax.nn.log_softmax(logits, 1))
        hit = jnp.mean(jnp.argmax(logits, 1) == jnp.arange(len(image)))
        return -0.5 * jnp.mean(both), {"top1": hit}


class Regression:
    """An additive task: mean squared distance between the towers."""

    cached = False

    def loss(
        self, model: TwoTower, embeddings: None, batch: Any, rng: jax.Array
    ) -> tuple[jax.Array, dict]:
        image = model.vision(batch["image"], train=True)
        text = model.text(jax.nn.one_hot(batch["text"], VOCAB), train=True)
        return jnp.mean(jnp.sum((image - text) ** 2, -1)), {}


CONTRASTIVE, NOISY, REGRESSION = Contrastive(), Contrastive(noise=0.1), Regression()


@functools.cache
def model_def() -> ModelDef:
    return ModelDef.of(TwoTower)


def initial_state(optimizer: Optimizer, abstract: TrainState) -> TrainState:
    """A fresh state from numpy: the same on every mesh, and nothing is compiled for it."""
    rng = np.random.default_rng(0)
    everything = {
        path: (rng.normal(size=x.shape) * x.shape[-2] ** -0.5 if len(x.shape) > 1 else 1 + 0 * x)
        for path, x in flatten(_zeros(model_def().abstract_params)).items()
    }
    params, frozen = optimizer.split(
        unflatten({path: np.asarray(x, np.float32) for path, x in everything.items()})
    )
    state = TrainState(
        step=np.int32(0),
        params=params,
        frozen=frozen,
        buffers=_zeros(abstract.buffers),
        opt_state=optimizer.init(params),
        ema=params if abstract.ema else {},
    )
    # A copy per leaf: the step donates them all.
    return jax.tree.map(lambda x, a: jax.device_put(np.array(x), a.sharding), state, abstract)


def _zeros(abstract: Any) -> Any:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), abstract)


def batch_of(step: int, size: int = 16) -> dict[str, np.ndarray]:
    """The batch of one step: learnable pairs, a function of the step alone."""
    rng = np.random.default_rng([7, step])
    text = rng.integers(0, VOCAB, size)
    image = np.random.default_rng(3).normal(size=(VOCAB, PIXELS))[text]
    image = image + 0.1 * rng.normal(size=image.shape)
    return {
        "image": image.astype(np.float32),
        "text": text.astype(np.int32),
        "id": np.array([f"step{step}-row{i}" for i in range(size)]),
    }
