"""Two towers with the methods of ``models.clip.CLIP`` that compile in no time."""

import jax
import jax.numpy as jnp
from flax import nnx

from medvlp_jax.core.state import ModelDef
from medvlp_jax.models.features import ImageFeatures, TextFeatures

SIZE, PATCH, LENGTH, VOCAB, WIDTH, JOINT = 8, 4, 6, 20, 16, 8


def _unit(x):
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def _weight(key, shape, axes):
    return nnx.Param(jax.random.normal(key, shape) * shape[0] ** -0.5, logical_axes=axes)


class Tower(nnx.Module):
    """Two layers, dropout, and a count of the training batches it saw."""

    def __init__(self, key, inputs):
        up, down = jax.random.split(key)
        self.up = _weight(up, (inputs, 4 * WIDTH), ("embed", "mlp"))
        self.down = _weight(down, (4 * WIDTH, WIDTH), ("mlp", "embed"))
        self.seen = nnx.BatchStat(jnp.zeros(()), logical_axes=())

    def __call__(self, x, train, rng):
        if train:
            self.seen[...] += 1
        x = jnp.tanh(x @ self.up[...])
        if rng is not None:
            x = x * jax.random.bernoulli(rng, 0.5, x.shape) * 2
        return x @ self.down[...]


class TinyCLIP(nnx.Module):
    def __init__(self, rngs, logit_bias):
        keys = jax.random.split(rngs.params(), 4)
        self.vision = Tower(keys[0], PATCH * PATCH)
        self.text = Tower(keys[1], VOCAB)
        self.vision_proj = _weight(keys[2], (WIDTH, JOINT), ("embed", "joint"))
        self.text_proj = _weight(keys[3], (WIDTH, JOINT), ("embed", "joint"))
        self.logit_scale = nnx.Param(jnp.log(jnp.float32(10.0)), logical_axes=())
        self.logit_bias = (
            None if logit_bias is None else nnx.Param(jnp.float32(logit_bias), logical_axes=())
        )

    def encode_image(self, image, *, train=False, rng=None):
        b, side = image.shape[0], SIZE // PATCH
        patches = image[..., 0].reshape(b, side, PATCH, side, PATCH).swapaxes(2, 3)
        patches = self.vision(patches.reshape(b, side, side, PATCH * PATCH), train, rng)
        return ImageFeatures(patches.mean((1, 2)), patches)

    def encode_text(self, ids, mask, *, train=False, rng=None):
        tokens = self.text(jax.nn.one_hot(ids, VOCAB), train, rng)
        kept = tokens * mask[..., None]
        return TextFeatures(kept.sum(1) / mask.sum(1, keepdims=True), tokens)

    def project_image(self, features, *, train=False):
        return _unit(features.pooled @ self.vision_proj[...])

    def project_text(self, features, *, normalize=True, train=False):
        texts = features.pooled @ self.text_proj[...]
        return _unit(texts) if normalize else texts

    def image_embed(self, image):
        return self.project_image(self.encode_image(image))

    def text_embed(self, ids, mask):
        return self.project_text(self.encode_text(ids, mask))

    def project_patches(self, features, *, normalize=True):
        patches = features.patches @ self.vision_proj[...]
        return _unit(patches) if normalize else patches

    def patch_embed(self, image):
        return self.project_patches(self.encode_image(image))


def tiny_model(logit_bias=None):
    return ModelDef.of(lambda rngs: TinyCLIP(rngs, logit_bias))
