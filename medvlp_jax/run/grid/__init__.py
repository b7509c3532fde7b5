"""Experiments of many runs: the same recipes on different data, compared in pairs."""
