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
    from medvlp_jax.run.api.classes import ZeroShotScores
    from medvlp_jax.run.api.features import Features
    from medvlp_jax.run.api.load import load
    from medvlp_jax.run.api.model import HeatMap, Model

__version__ = "0.1.0"
__all__ = ["Features", "HeatMap", "Model", "UserError", "ZeroShotScores", "load"]

#: Public name -> where it stands.
_PUBLIC = {
    "Features": "medvlp_jax.run.api.features",
    "HeatMap": "medvlp_jax.run.api.model",
    "Model": "medvlp_jax.run.api.model",
    "UserError": "medvlp_jax.core.errors",
    "ZeroShotScores": "medvlp_jax.run.api.classes",
    "load": "medvlp_jax.run.api.load",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
