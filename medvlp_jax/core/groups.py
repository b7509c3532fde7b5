"""What each parameter gets from the optimizer: weight decay or none, and a learning-rate factor.

Parameters of stacked layers have a layer axis in front that their logical axes do not name; what
counts here is the shape of one layer.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from medvlp_jax.core.config import ConfigError
from medvlp_jax.core.state import Path, flatten, path_str, unflatten

Tree = Any


class Groups:
    """Looks at a model's parameters once, then answers by path.

    Args:
      everything: all parameters, abstract; patterns are checked against them, so that one which
        matches frozen parameters only is no typo.
      trained: those that are trained.
      logical_axes: ``ModelDef.logical_axes``.

    Raises:
      ValueError: a parameter with two or more axes has no logical axes.
    """

    def __init__(self, everything: Tree, trained: Tree, logical_axes: Tree) -> None:
        self._known = list(flatten(everything))
        self._flat = flatten(trained)
        self._axes = flatten(logical_axes)
        self._layer = {path: self._layer_shape(path, leaf) for path, leaf in self._flat.items()}

    def _layer_shape(self, path: Path, leaf: Any) -> tuple[int, ...]:
        names = self._axes.get(path, ())
        if not names and len(leaf.shape) > 1:
            raise ValueError(
                f"parameter {path_str(path)!r} of shape {tuple(leaf.shape)} has no logical_axes: "
                "give them in nnx.Param(value, logical_axes=(...))"
            )
        return tuple(leaf.shape[len(leaf.shape) - len(names) :])

    def decay_mask(self, no_decay: Iterable[str]) -> Tree:
        """True for matrices and larger; False for vectors, norms, biases, positions and scalars,
        and for what a pattern of ``no_decay`` matches."""
        exempt = self._matcher(no_decay, "optim.no_decay")

        def decays(path: Path) -> bool:
            shape = self._layer[path]
            while shape and shape[0] == 1:  # a class token of shape [1, 1, d] is a vector
                shape = shape[1:]
            names = set(self._axes.get(path, ()))
            return len(shape) >= 2 and not names & {"position", "norm"} and exempt(path) is None

        return unflatten({path: decays(path) for path in self._flat})

    def values(self, by_pattern: Mapping[str, Any], default: Any, where: str) -> Tree:
        """Per parameter the value of the first pattern that matches it, or ``default``.

        Raises:
          ConfigError: a pattern matches no parameter of the model; ``where`` names the key.
        """
        match = self._matcher(by_pattern, where)
        found = {path: match(path) for path in self._flat}
        return unflatten({p: default if k is None else by_pattern[k] for p, k in found.items()})

    def lr_factors(
        self, multipliers: Mapping[str, float], layer_decay: float, stem: Iterable[str]
    ) -> Tree:
        """Scalars, or vectors along the layer axis that broadcast against the parameter.

        With ``layer_decay`` d, block i of n (from 0) gets d^(n - i), what ``stem`` matches in the
        same tower d^(n + 1), and the rest of it 1 (BEiT, Bao et al. 2021, arXiv:2106.08254).
        """
        by_pattern = self._matcher(multipliers, "optim.lr_multipliers")
        in_stem = self._matcher(stem, None)
        towers = self._towers() if layer_decay < 1 else {}
        if layer_decay < 1 and not towers:
            raise ConfigError(
                "config.optim.layer_decay needs stacked blocks, this model has none; set it to 1"
            )
        factors: dict[Path, Any] = {}
        for path, leaf in self._flat.items():
            pattern = by_pattern(path)
            factor: Any = 1.0 if pattern is None else multipliers[pattern]
            around = [tower for tower in towers if path[: len(tower)] == tower]
            if around:
                n = towers[max(around, key=len)]
                if self._stacked(path):
                    powers = (layer_decay ** np.arange(n, 0, -1)).astype(np.float32)
                    factor = factor * powers.reshape((n,) + (1,) * (len(leaf.shape) - 1))
                elif in_stem(path) is not None:
                    factor = factor * layer_decay ** (n + 1)
            factors[path] = factor
        return unflatten(factors)

    def _stacked(self, path: Path) -> bool:
        return len(self._flat[path].shape) > len(self._layer[path])

    def _towers(self) -> dict[Path, int]:
        """``{path of a tower: its number of stacked layers}``.

        The stack is the topmost module all of whose parameters carry a layer axis, and the tower
        is the module that holds the stack: ``('vision',)`` for ``vision/blocks/...``.
        """
        stacked = [path for path in self._flat if self._stacked(path)]
        mixed = {p[:i] for p in self._flat if not self._stacked(p) for i in range(len(p))}
        towers: dict[Path, int] = {}
        for path in stacked:
            below = next(i for i in range(len(path) + 1) if path[:i] not in mixed)
            towers[path[: max(below - 1, 0)]] = self._flat[path].shape[0]
        return towers

    def _matcher(self, patterns: Iterable[str], where: str | None) -> Callable[[Path], str | None]:
        """A function from a path to the first pattern that matches it, or ``None``; with ``where``,
        a pattern that matches no parameter at all is an error."""
        compiled = [re.compile(p) for p in patterns]
        for pattern in compiled if where else ():
            if not any(pattern.match(path_str(p)) for p in self._known):
                raise ConfigError(
                    f"config.{where}: pattern {pattern.pattern!r} matches no parameter; top-level "
                    f"names are: {', '.join(sorted({p[0] for p in self._known}))}"
                )

        def first(path: Path) -> str | None:
            return next((p.pattern for p in compiled if p.match(path_str(path))), None)

        return first
