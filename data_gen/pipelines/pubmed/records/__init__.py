"""Matched figures become records: a sub-figure with its part of the caption, or a reject."""
