"""Charts, diagrams, tables, gels and photographs, drawn: what figures show beside radiographs."""

from data_gen.pipelines.pubmed.drawings.registry import KINDS, MEDICAL, SMALLEST, draw

__all__ = ["KINDS", "MEDICAL", "SMALLEST", "draw"]
