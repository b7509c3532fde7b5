"""Tables of an architecture, a row a tensor, and what is to be done for a model by one.

A table is a sequence of :class:`Row`, written once and used in both directions: see
:mod:`.loading` and :mod:`.saving`.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medvlp_jax.weights.transforms import Transform, identity


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Names may contain ``{i}`` and ``{j}`` for numbers. A number that the target lacks is the layer
    of a stacked parameter: the sources fill its first axis in order. A row whose target the model
    does not have is not used, so that one table can serve the variants of an architecture.

    Attributes:
      source: name of the tensor in the checkpoint; a tuple where several make one array.
      target: path of our parameter or buffer, ``a/b/c``; a tuple where one tensor makes several
        arrays; None: the tensor is known and not needed (it may be absent, and is not exported);
        ``*`` in its name then stands for anything.
      transform: from the origin's layout to ours and back.
    """

    source: str | tuple[str, ...]
    target: str | tuple[str, ...] | None
    transform: Transform = identity

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target,) if isinstance(self.target, str) else self.target or ()


#: (pattern, replacement) for ``re.sub``: other names under which a tensor is known.
Rename = Sequence[tuple[str, str]]


def under(rows: Iterable[Row], source: str = "", target: str = "") -> tuple[Row, ...]:
    """The same table for a model that sits inside another one: both prefixes are put in front."""
    return tuple(
        dataclasses.replace(
            row,
            source=_prefixed(source, row.source),
            target=None if row.target is None else _prefixed(target, row.target),
        )
        for row in rows
    )


def _prefixed(prefix: str, names: str | tuple[str, ...]) -> Any:
    return prefix + names if isinstance(names, str) else tuple(prefix + n for n in names)


@dataclasses.dataclass(frozen=True)
class Step:
    """One application of a row: these tensors are these arrays (or this layer of them)."""

    transform: Transform
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    layer: int | None

    def source_shapes(self, wanted: Mapping[str, Any]) -> list[tuple[int, ...]]:
        """The shapes that the tensors must have, found by sending shapes without memory back."""
        probes = (
            np.broadcast_to(np.zeros((), np.int8), self.target_shape(wanted[t]))
            for t in self.targets
        )
        return [x.shape for x in as_tuple(self.transform.save(*probes))]

    def target_shape(self, leaf: Any) -> tuple[int, ...]:
        """Shape of what one application gives."""
        return tuple(leaf.shape if self.layer is None else leaf.shape[1:])


def plan(rows: Sequence[Row], wanted: Mapping[str, Any]) -> list[Step]:
    """The steps that fill ``wanted`` (path -> abstract array), in the order of the table.

    Raises:
      ValueError: a defect of the table: a parameter that no row fills, or two rows do.
    """
    steps: list[Step] = []
    filled: set[str] = set()
    for row in rows:
        if not row.targets:
            continue
        pattern = _pattern(row.targets[0])
        for path in wanted:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            numbers = match.groupdict()
            targets = tuple(t.format(**numbers) for t in row.targets)
            for target in targets:
                if target in filled:
                    raise ValueError(f"two rows fill {target}")
                filled.add(target)
            for layer, all_numbers in _layers(row, numbers, wanted[path].shape):
                sources = tuple(s.format(**all_numbers) for s in row.sources)
                steps.append(Step(row.transform, sources, targets, layer))
    missing = [path for path in wanted if path not in filled]
    if missing:
        raise ValueError(f"no row of the table fills {', '.join(missing)}")
    return steps


def _pattern(name: str, digits: str = r"\d+") -> re.Pattern[str]:
    """A regular expression for a name with ``{i}``, ``{j}`` and ``*``."""
    parts = re.split(r"\{(\w+)\}", name)
    seen: set[str] = set()
    text = ""
    for n, part in enumerate(parts):
        if n % 2 == 0:
            text += ".*".join(re.escape(piece) for piece in part.split("*"))
        else:
            text += f"(?P={part})" if part in seen else f"(?P<{part}>{digits})"
            seen.add(part)
    return re.compile(text)


def _layers(
    row: Row, numbers: dict[str, str], shape: Sequence[int]
) -> Iterator[tuple[int | None, dict[str, Any]]]:
    extra = {n for s in row.sources for n in re.findall(r"\{(\w+)\}", s)} - numbers.keys()
    if not extra:
        yield None, numbers
        return
    if len(extra) > 1:
        raise ValueError(f"{row.source} has the numbers {sorted(extra)} that {row.target} lacks")
    name = extra.pop()
    for layer in range(shape[0]):
        yield layer, {**numbers, name: layer}


def as_tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def new_name(name: str, rename: Rename) -> str:
    """The name of a tensor as a table spells it."""
    for pattern, replacement in rename:
        name = re.sub(pattern, replacement, name)
    return name
