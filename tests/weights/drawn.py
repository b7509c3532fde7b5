"""Random tensors and inputs that follow from names and sizes alone, with and without torch.

So the stored outputs of a model (``outputs.npz``) need neither its weights nor its inputs beside
them. Weights are large enough that every term matters; fresh ones would hide a missing bias.
"""

import zlib

import numpy as np

#: Ids of the texts are below it; the last one ends a text, as in CLIP.
VOCAB = 60


def _normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
    # numpy promises the stream of this old generator for ever, that of the new ones it does not.
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    return rng.standard_normal(shape).astype(np.float32)


def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 tensor of a checkpoint by its name there."""
    noise = _normal(name, shape)
    if name.endswith("running_var"):
        return 0.5 + np.abs(noise)
    if name == "logit_scale":
        return np.full(shape, 2.5, np.float32)
    if len(shape) >= 2:
        fan_in = np.prod(shape[1:]) if "embed" not in name else 4
        # Residual branches of convolutions add up without a norm between them.
        gain = 0.5 if len(shape) == 4 and shape[-1] < 7 else 1.0
        return noise * np.float32(gain * fan_in**-0.5)
    scale = name.endswith(("weight", "gamma", "lambda1"))
    return scale + 0.2 * noise


def inputs(side: int) -> dict[str, np.ndarray]:
    """Three normalised images [3, side, side, 3], three texts of 12, 7 and 1 tokens, their mask."""
    mask = np.arange(12) < np.array([12, 7, 1])[:, None]
    ids = np.abs(_normal("ids", (3, 12)) * 1e6).astype(np.int64) % (VOCAB - 2) + 1
    ids[np.arange(3), mask.sum(1) - 1] = VOCAB - 1
    return {"image": _normal(f"image{side}", (3, side, side, 3)), "ids": ids * mask, "mask": mask}
