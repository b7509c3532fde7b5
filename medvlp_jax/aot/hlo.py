"""What a compiled program says about itself: bytes moved by collectives, memory per device.

XLA's own ``cost_analysis`` counts the body of a loop once; here trip counts are multiplied in.
"""

import collections
import dataclasses
import re
from typing import Any

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "ragged-all-to-all",
)

_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}
_SHAPE = re.compile(r"\b(pred|bf16|[fsuc]\d+)(?:e\d+m\d+\w*)?\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY\s+)?%?([\w.\-]+)\s*\(.*\)\s*->\s*.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT\s+)?%?[\w.\-]+\s*=\s*(.*)$")
_CALLEE = re.compile(
    r"\b(condition|body|calls|to_apply|branch_computations)=(%?[\w.\-]+|\{[^}]*\})"
)
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CONSTANT = re.compile(r"%?([\w.\-]+) = [su]\d+\[\]\S* constant\((\d+)\)")
_LESS = re.compile(r"ROOT .* compare\(.*, %?([\w.\-]+)\), direction=LT")
_CHANNEL = re.compile(r"\bchannel_id=(\d+)")


@dataclasses.dataclass
class _Computation:
    """The parts of a computation that matter here.

    moved: (channel or unique name) -> (kind, bytes). calls: callees run once each.
    loops: (body, condition, known trip count or 0). bound: of a loop condition ``i < bound``.
    """

    moved: dict[str, tuple[str, int]] = dataclasses.field(default_factory=dict)
    calls: list[str] = dataclasses.field(default_factory=list)
    loops: list[tuple[str, str, int]] = dataclasses.field(default_factory=list)
    constants: dict[str, int] = dataclasses.field(default_factory=dict)
    bound: int = 0


def collective_bytes(hlo_text: str) -> dict[str, int]:
    """Result bytes per device of every collective of one execution, by kind.

    The trip count of a loop is the one that the compiler notes or, as TPU programs have none, the
    bound of a condition ``i < bound``; a loop with neither counts once. An asynchronous collective
    that several fusions share has one channel and counts once.

    Args:
      hlo_text: ``compiled.as_text()`` of a partitioned module.

    Returns:
      ``{kind: bytes}`` for the kinds that occur.
    """
    entry, computations = _read(hlo_text)
    totals: collections.Counter[str] = collections.Counter()
    for kind, size in _visit(entry, computations).values():
        totals[kind] += size
    return dict(totals)


def _read(hlo_text: str) -> tuple[str, dict[str, _Computation]]:
    computations: dict[str, _Computation] = collections.defaultdict(_Computation)
    entry = ""
    current = _Computation()
    for number, line in enumerate(hlo_text.splitlines()):
        if header := _COMPUTATION.match(line):
            current = computations[header[2]]
            entry = header[2] if header[1] else entry
            continue
        instruction = _INSTRUCTION.match(line)
        if not instruction:
            continue
        if constant := _CONSTANT.search(line):
            current.constants[constant[1]] = int(constant[2])
        elif less := _LESS.search(line):
            current.bound = current.constants.get(less[1], 0)
        result, op = _split_result(instruction[1])
        kind = next((k for k in COLLECTIVES if op in (k, f"{k}-start")), None)
        if kind is not None:
            sizes = [_bytes(m) for m in _SHAPE.finditer(result)]
            # The tuple of a -start operation holds its operand and its result.
            size = max(sizes, default=0) if op.endswith("start") else sum(sizes)
            channel = _CHANNEL.search(line)
            current.moved[channel[1] if channel else f"line {number}"] = (kind, size)
        callees = {
            k: [n.strip().lstrip("%") for n in v.strip("{}").split(",")]
            for k, v in _CALLEE.findall(line)
        }
        if "body" in callees:
            trips = _TRIPS.search(line)
            body, condition = callees["body"][0], callees["condition"][0]
            current.loops.append((body, condition, int(trips[1]) if trips else 0))
        else:
            current.calls += [name for names in callees.values() for name in names]
    return entry, computations


def _visit(name: str, computations: dict[str, _Computation]) -> dict[str, tuple[str, int]]:
    here = computations[name]
    moved = dict(here.moved)
    for callee in here.calls:
        moved |= _visit(callee, computations)
    for body, condition, known in here.loops:
        trips = known or computations[condition].bound or 1
        for key, (kind, size) in _visit(body, computations).items():
            moved[f"{body}/{key}"] = (kind, size * trips)
    return moved


def _split_result(text: str) -> tuple[str, str]:
    """``'(f32[2], f32[3]) all-reduce(...)'`` -> the result's type and the operation's name."""
    if text.startswith("("):
        depth, end = 1, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        result, rest = text[:end], text[end:]
    else:
        result, _, rest = text.partition(" ")
    return result, rest.strip().partition("(")[0]


def _bytes(match: re.Match[str]) -> int:
    kind, dims = match.groups()
    n = 1
    for d in filter(None, dims.split(",")):
        n *= int(d)
    bits = _BITS.get(kind) or int(re.sub(r"\D", "", kind))
    return (n * bits + 7) // 8


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes per device of one compiled program."""

    arguments: int
    outputs: int
    aliased: int  # donated arguments that outputs reuse
    temporaries: int
    code: int

    @property
    def peak(self) -> int:
        """What must fit: arguments, temporaries and the outputs that take no argument's place."""
        return self.arguments + self.temporaries + self.outputs - self.aliased + self.code


def memory(compiled: Any) -> Memory:
    """Memory of a ``jax.stages.Compiled``."""
    m = compiled.memory_analysis()
    return Memory(
        arguments=m.argument_size_in_bytes,
        outputs=m.output_size_in_bytes,
        aliased=m.alias_size_in_bytes,
        temporaries=m.temp_size_in_bytes,
        code=m.generated_code_size_in_bytes,
    )
