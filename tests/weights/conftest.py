"""Makes the helpers here and those of ``tests/parity`` importable, and compiles quickly."""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "parity")]


@pytest.fixture(autouse=True)
def _compile_quickly(quick_compiles):
    """At these sizes a test is all compilation."""
