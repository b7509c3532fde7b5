"""Makes ``loss_oracle`` importable by the process that a test here starts and imports."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
