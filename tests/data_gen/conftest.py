"""Spawned workers import the toy job by its name, so its folder must be on the path."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
