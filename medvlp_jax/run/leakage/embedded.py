"""The images of splits as vectors of a model's image tower."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from medvlp_jax.run.api.load import load
from medvlp_jax.run.leakage.looked import Looked


def vectors(
    checkpoint: str, splits: Sequence[Looked]
) -> tuple[list[list[int]], list[Float[np.ndarray, "n e"]]]:
    """Per split the rows of its images that have a vector, and their unit vectors.

    A model reads one image of a record, the one that an evaluation would take.
    """
    model = load(checkpoint)
    rows, found = [], []
    for looked in splits:
        made = model.features(looked.source.directory, split=looked.source.split)
        first = {str(name): row for row, name in reversed(list(enumerate(looked.ids.tolist())))}
        pairs = [(first[name], i) for i, name in enumerate(made.ids) if name in first]
        rows.append([row for row, _ in pairs])
        found.append(made.vectors[[i for _, i in pairs]])
    return rows, found
