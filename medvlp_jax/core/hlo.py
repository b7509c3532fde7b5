"""What a compiled program says about itself: bytes moved by collectives, memory per device.

XLA's own ``cost_analysis`` counts the body of a loop once; here the trip counts that the compiler
writes beside each ``while`` are multiplied in.
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
_CALLEE = re.compile(r"\b(body|calls|to_apply|branch_computations)=\{?([%\w.\-, ]+)\}?")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


def collective_bytes(hlo_text: str) -> dict[str, int]:
    """Result bytes per device of every collective of one execution, by kind.

    Args:
      hlo_text: ``compiled.as_text()`` of a partitioned module.

    Returns:
      ``{kind: bytes}`` for the kinds that occur. A loop without a known trip count counts once.
    """
    calls: dict[str, list[tuple[str, int]]] = collections.defaultdict(list)
    own: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    entry = current = ""
    for line in hlo_text.splitlines():
        if header := _COMPUTATION.match(line):
            current = header[2]
            if header[1]:
                entry = current
            continue
        instruction = _INSTRUCTION.match(line)
        if not instruction:
            continue
        result, op = _split_result(instruction[1])
        kind = next((k for k in COLLECTIVES if op in (k, f"{k}-start")), None)
        if kind is not None:
            sizes = [_bytes(m) for m in _SHAPE.finditer(result)]
            # The tuple of a -start operation holds its operand and its result.
            own[current][kind] += max(sizes, default=0) if op.endswith("start") else sum(sizes)
        trips = _TRIPS.search(line)
        for attribute, names in _CALLEE.findall(line):
            n = int(trips[1]) if attribute == "body" and trips else 1
            for name in names.split(","):
                calls[current].append((name.strip().lstrip("%"), n))

    totals: collections.Counter[str] = collections.Counter()

    def visit(name: str, times: int) -> None:
        for kind, size in own[name].items():
            totals[kind] += size * times
        for callee, n in calls[name]:
            visit(callee, times * n)

    visit(entry, 1)
    return dict(totals)


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
