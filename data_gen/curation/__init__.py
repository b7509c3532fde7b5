"""Which images are fit to learn from: statistics, judges, likeness to bad ones, duplicates."""

from data_gen.curation.candidate import Candidate, Verdict
from data_gen.curation.duplicates import near_duplicates
from data_gen.curation.gate import Gate, GateConfig

__all__ = ["Candidate", "Gate", "GateConfig", "Verdict", "near_duplicates"]
