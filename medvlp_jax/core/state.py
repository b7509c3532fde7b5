"""The boundary between Flax NNX modules and plain pytrees.

This is the only file that splits or merges modules. Everywhere else a model is either an
``nnx.Module`` (inside a traced function) or two nested dicts of arrays: ``params`` (``nnx.Param``)
and ``buffers`` (everything else, for instance batch-norm statistics).
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from medvlp_jax.core.config import ConfigError

Tree = Any
Path = tuple[str, ...]


def flatten(tree: Mapping[str, Any], prefix: Path = ()) -> dict[Path, Any]:
    """Flattens a nested dict into ``{path: leaf}``; the order of the leaves is kept."""
    flat: dict[Path, Any] = {}
    for key, value in tree.items():
        path = (*prefix, str(key))
        if isinstance(value, Mapping):
            flat.update(flatten(value, path))
        else:
            flat[path] = value
    return flat


def unflatten(flat: Mapping[Path, Any]) -> dict[str, Any]:
    """Inverse of :func:`flatten`."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return tree


def leaf_names(tree: Any) -> dict[str, Any]:
    """``{'opt_state/chain/1/mu/logit_scale': leaf}`` of any tree whose leaves have a shape."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
    return {"/".join(map(_key, path)): leaf for path, leaf in leaves}


def _key(key: Any) -> str:
    return str(next(getattr(key, a) for a in ("key", "name", "idx") if hasattr(key, a)))


def path_str(path: Path) -> str:
    """``('vision', 'blocks', 'mlp')`` -> ``'vision/blocks/mlp'``, the form that patterns match."""
    return "/".join(path)


def partition(
    tree: Tree, patterns: Iterable[str], where: str = ""
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits ``tree`` into (leaves whose path matches no pattern, leaves that match one).

    A pattern is a regular expression searched from the start of ``'a/b/c'`` (``re.match``).
    A pattern that matches nothing raises :class:`ConfigError`, which names the key ``where``: it
    is a typo far more often than a wish.
    """
    compiled = [re.compile(p) for p in patterns]
    hits = [0] * len(compiled)
    rest: dict[Path, Any] = {}
    matched: dict[Path, Any] = {}
    for path, leaf in flatten(tree).items():
        found = [i for i, p in enumerate(compiled) if p.match(path_str(path))]
        for i in found:
            hits[i] += 1
        (matched if found else rest)[path] = leaf
    for pattern, n in zip(compiled, hits, strict=True):
        if n == 0:
            first = ", ".join(sorted({p[0] for p in flatten(tree)}))
            raise ConfigError(
                f"{where}{': ' * bool(where)}pattern {pattern.pattern!r} matches no parameter; "
                f"top-level names are: {first}"
            )
    return unflatten(rest), unflatten(matched)


def combine(*trees: Tree) -> dict[str, Any]:
    """Merges disjoint nested dicts, the inverse of :func:`partition`."""
    flat: dict[Path, Any] = {}
    for tree in trees:
        for path, leaf in flatten(tree).items():
            if path in flat:
                raise ValueError(f"parameter {path_str(path)!r} occurs in two partitions")
            flat[path] = leaf
    return unflatten(flat)


@dataclasses.dataclass(frozen=True)
class ModelDef:
    """A model without its arrays: how to build it, and what its parameters look like.

    Attributes:
      abstract_params: nested dict of ``jax.ShapeDtypeStruct``.
      abstract_buffers: the same for non-parameters.
      logical_axes: nested dict of tuples of logical axis names, one tuple per parameter and
        buffer; shorter than the shape where layers are stacked (see ``core.sharding``).
    """

    build: Callable[[nnx.Rngs], nnx.Module]
    graphdef: Any
    param_state: Any
    buffer_state: Any
    abstract_params: dict[str, Any]
    abstract_buffers: dict[str, Any]
    logical_axes: dict[str, Any]

    @classmethod
    def of(cls, build: Callable[[nnx.Rngs], nnx.Module]) -> "ModelDef":
        """Traces ``build`` without allocating anything."""
        module = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
        graphdef, params, buffers = nnx.split(module, nnx.Param, ...)
        axes: dict[Path, Any] = {}
        for state in (params, buffers):
            for path, var in nnx.to_flat_state(state):
                axes[tuple(map(str, path))] = var.get_metadata().get("logical_axes", ())
        return cls(
            build=build,
            graphdef=graphdef,
            param_state=params,
            buffer_state=buffers,
            abstract_params=_pure(params),
            abstract_buffers=_pure(buffers),
            logical_axes=unflatten(axes),
        )

    def init(self, key: jax.Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """Fresh ``(params, buffers)``; pure, meant for ``jax.jit(..., out_shardings=...)``."""
        _, params, buffers = nnx.split(self.build(nnx.Rngs(params=key)), nnx.Param, ...)
        return _pure(params), _pure(buffers)

    def merge(self, params: Tree, buffers: Tree) -> Any:
        """The module that holds these arrays; free of cost inside ``jax.jit``."""
        return nnx.merge(
            self.graphdef, _fill(self.param_state, params), _fill(self.buffer_state, buffers)
        )

    def buffers_of(self, module: nnx.Module) -> dict[str, Any]:
        """The non-parameters of ``module`` after a forward pass changed them."""
        return _pure(nnx.split(module, nnx.Param, ...)[2])


def _pure(state: Any) -> dict[str, Any]:
    # Keys become strings so that lists of layers give the same paths as checkpoints do.
    return unflatten(
        {
            tuple(map(str, p)): v.get_value() if isinstance(v, nnx.Variable) else v
            for p, v in nnx.to_flat_state(state)
        }
    )


def _fill(template: Any, tree: Tree) -> Any:
    flat = flatten(tree)
    filled = []
    for path, var in nnx.to_flat_state(template):
        key = tuple(map(str, path))
        if key not in flat:
            raise KeyError(f"the parameter tree lacks {path_str(key)!r}")
        filled.append((path, var.replace(flat.pop(key))))
    if flat:
        extra = ", ".join(path_str(p) for p in list(flat)[:5])
        raise KeyError(f"the parameter tree has {len(flat)} leaves that the model lacks: {extra}")
    return nnx.from_flat_state(filled)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class TrainState:
    """All that a training run remembers, apart from the position in the data.

    ``params`` holds the trainable parameters, ``frozen`` the others; together they make the model.
    ``ema`` is a nested dict like ``params`` or empty.
    """

    step: jax.Array  # int32 scalar: optimizer steps done
    params: Any
    frozen: Any
    buffers: Any
    opt_state: Any
    ema: Any

    def model_params(self, use_ema: bool = False) -> dict[str, Any]:
        """Trainable (or averaged) and frozen parameters in one tree."""
        return combine(self.ema if use_ema and self.ema else self.params, self.frozen)


def param_count(tree: Tree) -> int:
    """Number of scalars in a tree of arrays or ``ShapeDtypeStruct``."""
    return sum(
        int(jnp.size(x)) if not hasattr(x, "shape") else _size(x.shape)
        for x in jax.tree.leaves(tree)
    )


def _size(shape: tuple[int, ...]) -> int:
    n = 1
    for d in shape:
        n *= d
    return n
