"""Every kind of drawing by name."""

import zlib
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from data_gen.pipelines.pubmed.drawings.canvas import Canvas
from data_gen.pipelines.pubmed.drawings.charts import bar_chart, line_chart, scatter
from data_gen.pipelines.pubmed.drawings.chemistry import chemical_structure
from data_gen.pipelines.pubmed.drawings.diagrams import flow_diagram, schema
from data_gen.pipelines.pubmed.drawings.gels import gel
from data_gen.pipelines.pubmed.drawings.matrices import heat_map
from data_gen.pipelines.pubmed.drawings.micrographs import electron_micrograph, fluorescence
from data_gen.pipelines.pubmed.drawings.pages import screenshot, table
from data_gen.pipelines.pubmed.drawings.photographs import clinical_photograph, photograph
from data_gen.pipelines.pubmed.drawings.statistics import box_plot, forest_plot, kaplan_meier
from medvlp_jax.core.config import unknown_word

_ON_CANVAS: dict[str, Callable[[np.random.Generator, Canvas], None]] = {
    "bar_chart": bar_chart,
    "line_chart": line_chart,
    "scatter": scatter,
    "box_plot": box_plot,
    "kaplan_meier": kaplan_meier,
    "heat_map": heat_map,
    "forest_plot": forest_plot,
    "flow_diagram": flow_diagram,
    "schema": schema,
    "chemical_structure": chemical_structure,
    "gel": gel,
    "table": table,
    "screenshot": screenshot,
}
_SHOTS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "clinical_photograph": clinical_photograph,
    "photograph": photograph,
    "fluorescence": fluorescence,
    "electron_micrograph": electron_micrograph,
}

#: Kinds that :func:`draw` knows.
KINDS: tuple[str, ...] = (*_ON_CANVAS, *_SHOTS)
#: Those of them that show a body, its tissue or its cells.
MEDICAL = frozenset({"clinical_photograph", "fluorescence", "electron_micrograph"})
SMALLEST = 48


def draw(kind: str, seed: int, size: int | tuple[int, int] = 256) -> UInt8[np.ndarray, "h w 3"]:
    """A figure that is no radiograph, as papers have them; a function of its arguments alone.

    Args:
      kind: of :data:`KINDS`.
      seed: any whole number from 0.
      size: height and width in pixels, or one number for both, at least :data:`SMALLEST`.

    Raises:
      ValueError: an unknown kind, or a size that is too small.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < SMALLEST:
        raise ValueError(f"size={size}: a drawing has at least {SMALLEST} pixels a side")
    if kind not in KINDS:
        raise ValueError(unknown_word("kind of drawing", kind, KINDS, "kind"))
    rng = np.random.default_rng((zlib.crc32(kind.encode()), seed))
    if kind in _SHOTS:
        return _SHOTS[kind](rng, height, width)
    canvas = Canvas(height, width)
    _ON_CANVAS[kind](rng, canvas)
    return canvas.finish()
