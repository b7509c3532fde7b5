"""Makes ``model_toys`` importable here, and compiles without optimisation."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))


@pytest.fixture(autouse=True)
def _compile_quickly(quick_compiles):
    """At these sizes a test is all compilation."""
