"""What our models give, under the names of the origin libraries' outputs."""

import jax
import jax.numpy as jnp
import numpy as np

from medvlp_jax.models.clip import CLIP
from medvlp_jax.models.text_encoder import TextEncoder

TOLERANCE = 2e-5


def ours(model, params, buffers, x):
    """Our outputs on ``drawn.inputs``; those of padding are 0."""

    def run(params, image, ids, mask):
        module = model.merge(params, buffers)
        real = mask[..., None]
        if isinstance(module, TextEncoder):
            out = module(ids, mask, hidden=2)
            return {"pooled": out.pooled, "tokens": out.tokens * real, "hidden": out.hidden * real}
        if not isinstance(module, CLIP):
            out = module(image)
            return {"pooled": out.pooled, "patches": out.patches}
        a, b = module.image_embed(image), module.text_embed(ids, mask)
        logits = jnp.exp(module.logit_scale[...]) * a @ b.T
        if module.logit_bias is not None:
            logits = logits + module.logit_bias[...]
        patches = module.encode_image(image).patches
        return {"image_embed": a, "text_embed": b, "logits": logits, "patches": patches}

    return jax.jit(run)(params, x["image"], x["ids"], x["mask"])


def check(found, wanted):
    """Every output of the origin is ours, up to :data:`TOLERANCE`."""
    assert wanted
    for key, value in wanted.items():
        # The reference has to have some size, or the bound would say nothing.
        assert 0.1 < np.abs(value).max() < 50, key
        np.testing.assert_allclose(found[key], value, rtol=0, atol=TOLERANCE, err_msg=key)
