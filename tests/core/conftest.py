"""Makes ``core_toy`` importable by the tests here and by the processes that they start."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
