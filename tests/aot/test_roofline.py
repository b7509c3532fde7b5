"""The least time of a step: arithmetic on what a compiler said."""

import pytest

from medvlp_jax.aot.compiled import Compiled, Slice
from medvlp_jax.aot.hlo import Memory
from medvlp_jax.aot.roofline import roofline

GB = 10**9
SLICE = Slice("v5e:2x2", 4, "TPU v5 lite", 16 << 30, {"data": 4})


def compiled(**changes) -> Compiled:
    memory = Memory(arguments=2 * GB, outputs=GB, aliased=GB, temporaries=3 * GB, code=0)
    moved = {"all-reduce": 2 * GB, "collective-permute": GB}
    return Compiled(**{"memory": {"step": memory}, "collectives": moved} | changes)


def test_each_resource_and_both_ends():
    found = roofline(SLICE, compiled(), flops=4 * 197e12 * 0.25, rows=1000, note="all of it")
    assert found is not None
    assert found.arithmetic == pytest.approx(0.25)
    assert found.memory == pytest.approx((2 + 1 + 2 * 3) / 819)
    assert found.links == pytest.approx((2 * 2 + 1) / 200)
    assert found.overlapped == found.arithmetic
    assert found.in_turn == pytest.approx(0.25 + 9 / 819 + 5 / 200)
    text = "\n".join(found.lines())
    for words in (
        "250 ms per step at least",
        "4,000 pairs/s at most",
        "819 GB/s of memory",
        "200 GB/s of links",
        "all of it",
        "arithmetic 250, memory 11, links 25",
    ):
        assert words in text


def test_nothing_is_told_of_what_is_not_known():
    unknown = Slice("v2:2x2", 4, "TPU v2", 8 << 30, {"data": 4})
    assert roofline(unknown, compiled(), 1e12, 10, "") is None
    assert roofline(SLICE, compiled(refusal="Used 20G of 16G hbm"), 1e12, 10, "") is None
    assert roofline(SLICE, Compiled(), 1e12, 10, "") is None
