"""Tiny models with random parameters, made without compiling their initialisers."""

import math
from typing import Any

import jax
import numpy as np

from medvlp_jax.core.state import ModelDef, flatten, unflatten


def arrays(model: ModelDef, seed: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """``(params, buffers)`` drawn by numpy: nothing is at a neutral value like 0 or 1."""
    rng = np.random.default_rng(seed)

    def draw(tree: dict[str, Any]) -> dict[str, Any]:
        flat = {}
        for path, leaf in flatten(tree).items():
            value = rng.normal(size=leaf.shape).astype(np.float32)
            if path[-1] == "var":
                value = 0.5 + value**2
            elif path[-1] in ("scale", "scale1", "scale2"):
                value = 1 + 0.2 * value
            elif path[-1] == "kernel":
                fan_in = np.prod(leaf.shape[-4:-1]) if "convs" in path else leaf.shape[-2]
                value *= fan_in**-0.5
            else:
                value *= 0.3
            flat[path] = value
        return unflatten(flat)

    return draw(model.abstract_params), draw(model.abstract_buffers)


def filled(cls: Any, config: Any, seed: int = 0) -> Any:
    """The module ``cls(config)`` with :func:`arrays` in it; same seed, same parameters."""
    model = ModelDef.of(lambda rngs: cls(config, rngs=rngs))
    return model.merge(*arrays(model, seed))


def products(jaxpr):
    """Two operations per multiply-add of every product; scan bodies times their length."""
    total = 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            depth = math.prod(eqn.invars[0].aval.shape[i] for i in contracted)
            total += 2 * depth * eqn.outvars[0].aval.size
        elif eqn.primitive.name == "conv_general_dilated":
            kernel = eqn.invars[1].aval
            total += 2 * eqn.outvars[0].aval.size * kernel.size // kernel.shape[-1]
        else:
            inner = [
                getattr(v, "jaxpr", v)
                for v in jax.tree.leaves(
                    eqn.params, is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr")
                )
            ]
            times = eqn.params["length"] if eqn.primitive.name == "scan" else 1
            total += times * sum(products(j) for j in inner if hasattr(j, "eqns"))
    return total
