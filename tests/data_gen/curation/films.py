"""Procedural films as a file, so that the tests of curation compile nothing.

``python -m tests.data_gen.curation.films`` in the repository's root made the file: the first
upright studies from 50000 on, at 128 pixels, as JPEG of quality 92.
"""

import pathlib

import cv2
import numpy as np

from medvlp_jax.data.images.decoding import decode

FILE = pathlib.Path(__file__).parent / "fixtures" / "films.npz"
COUNT = 32


def films():
    """uint8 [32, 128, 128]."""
    return np.stack([decode(data, "jpeg", gray=True) for data in files()])


def files():
    """The same as JPEG files."""
    with np.load(FILE) as stored:
        return [data.tobytes() for data in np.split(stored["bytes"], stored["ends"][:-1])]


def png(pixels):
    done, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[..., ::-1])
    assert done
    return data.tobytes()


def make():
    from data_gen.phantom.chest_xray.picture.render import render_batch
    from data_gen.phantom.chest_xray.sample import sample_study

    studies = (sample_study(0, 50_000 + i) for i in range(2 * COUNT))
    upright = [s for s in studies if not s.acquisition["inverted"]][:COUNT]
    images = render_batch(upright, 128, masks=False).images
    quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
    encoded = [cv2.imencode(".jpg", image, quality)[1].ravel() for image in images]
    FILE.parent.mkdir(exist_ok=True)
    np.savez(FILE, bytes=np.concatenate(encoded), ends=np.cumsum([len(e) for e in encoded]))


if __name__ == "__main__":
    make()
