"""Makes ``weight_names`` importable by the tests here."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
