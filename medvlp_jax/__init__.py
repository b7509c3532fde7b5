"""Medical vision-language pre-training in JAX.

    import medvlp_jax as mv

    model = mv.load("runs/quickstart/train")

The names of ``__all__`` are the public API and stay. Everything else can be imported from where it
stands, and may move. Nothing heavy is imported before a name is used: launch scripts set up the
environment of JAX first.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medvlp_jax.core.errors import UserError
    from medvlp_jax.eval.suites.paired import ScoreComparison, compare_scores
    from medvlp_jax.eval.suites.scores import Scores, read_scores
    from medvlp_jax.run.api.classes import ZeroShotScores
    from medvlp_jax.run.api.features import Features
    from medvlp_jax.run.api.load import load
    from medvlp_jax.run.api.model import HeatMap, Model

__version__ = "0.1.0"
__all__ = [
    "Features",
    "HeatMap",
    "Model",
    "ScoreComparison",
    "Scores",
    "UserError",
    "ZeroShotScores",
    "compare_scores",
    "load",
    "read_scores",
]

#: Public name -> where it stands.
_PUBLIC = {
    "Features": "medvlp_jax.run.api.features",
    "HeatMap": "medvlp_jax.run.api.model",
    "Model": "medvlp_jax.run.api.model",
    "ScoreComparison": "medvlp_jax.eval.suites.paired",
    "Scores": "medvlp_jax.eval.suites.scores",
    "UserError": "medvlp_jax.core.errors",
    "ZeroShotScores": "medvlp_jax.run.api.classes",
    "compare_scores": "medvlp_jax.eval.suites.paired",
    "load": "medvlp_jax.run.api.load",
    "read_scores": "medvlp_jax.eval.suites.scores",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
