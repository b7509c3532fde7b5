"""How even counts are: entropy, Gini coefficient, and the picture of both."""

import os

import numpy as np
from jaxtyping import Int

from medvlp_jax.core.files.replacing import replacing


def entropy(counts: Int[np.ndarray, " e"]) -> float:
    """Shannon entropy of the frequencies in bits; 0 where nothing is counted."""
    total = counts.sum()
    if total == 0:
        return 0.0
    p = counts[counts > 0] / total
    return float(-(p * np.log2(p)).sum()) + 0.0


def gini(counts: Int[np.ndarray, " e"]) -> float:
    """Gini coefficient, 0 (all equal) to (e - 1) / e (one has all); 0 where nothing is counted."""
    n, total = len(counts), counts.sum(dtype=np.float64)
    if total == 0:
        return 0.0
    ordered = np.sort(counts.astype(np.float64))
    return float(2.0 * (np.arange(1, n + 1) * ordered).sum() / (n * total) - (n + 1) / n)


def plot_balance(
    before: Int[np.ndarray, " e"],
    after: Int[np.ndarray, " e"],
    cap: int,
    path: str | os.PathLike[str],
) -> None:
    """Draws frequencies by rank before and after, and how often entities are used; a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    ranks, uses = figure.subplots(1, 2)
    for counts, label in ((before, "bank"), (after, "sampled")):
        share = np.sort(counts)[::-1] / max(counts.sum(), 1)
        ranks.plot(np.arange(1, len(share) + 1), share, label=label)
    ranks.set(xscale="log", yscale="log", xlabel="rank of the entity", ylabel="share of all")
    ranks.legend(frameon=False)
    top = int(after.max(initial=0))
    uses.hist(after, bins=np.arange(-0.5, max(top, 1) + 1.5), color="C1")
    uses.axvline(cap + 0.5, color="0.3", linestyle="--", linewidth=1, label=f"cap {cap}")
    uses.set(xlabel="studies that use an entity", ylabel="entities")
    uses.legend(frameon=False)
    with replacing(path) as temporary:
        FigureCanvasAgg(figure).print_figure(temporary, dpi=110, format="png")
