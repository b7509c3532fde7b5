"""A small pool of pictures without phantoms, which take long to compile."""

import functools

import cv2

from data_gen.pipelines.pubmed.compose.pool import Picture, Pool, cut_margins
from data_gen.pipelines.pubmed.drawings import draw


def encoded(pixels):
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


@functools.cache
def small_pool():
    """Photographs, micrographs and charts."""
    shots = [(k, s) for k in ("photograph", "electron_micrograph") for s in range(3)]
    pictures = [Picture("photograph", kind, encoded(draw(kind, seed, 160))) for kind, seed in shots]
    for seed in range(3):
        chart = cut_margins(draw("bar_chart", seed, (200, 240)))
        pictures.append(Picture("chart", "bar_chart", encoded(chart)))
    return Pool(tuple(pictures))
