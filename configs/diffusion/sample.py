"""Image sampling of Stable Diffusion, compiled for a slice that is not here.

.venv/bin/python launch/compile.py --config=configs/diffusion/sample.py:sd2.1 --topology=v5e:4x4
    [--config.batch_size=64 --config.size=512 --config.sampler.steps=20 ...]

The part after the colon is a preset of medvlp_jax/generation/images/text_to_image.py: sd1.5 or
sd2.1.
"""

import ml_collections

from configs import common
from medvlp_jax.generation.images import text_to_image


def get_config(preset: str = "sd2.1") -> ml_collections.ConfigDict:
    common.choose("diffusion/sample.py", preset, text_to_image.PRESETS)
    return ml_collections.ConfigDict(
        {
            "program": "images",
            "preset": preset,
            "batch_size": 64,  # images at a time, on all devices together
            "size": 512,  # pixels a side
            "dtype": "bfloat16",
            "mesh": {"data": -1, "fsdp": 1, "tensor": 1},
            "sampler": {"method": "dpmpp_2m", "steps": 20, "guidance": 4.0, "rescale": 0.0},
        }
    )
