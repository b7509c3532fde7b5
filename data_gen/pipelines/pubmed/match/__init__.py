"""Panels of a figure and parts of its caption are put together, and every pair says why it holds.

Labels read in the pixels come first, the reading order fills gaps where the counts agree, and what
neither settles is rejected with a reason.
"""
