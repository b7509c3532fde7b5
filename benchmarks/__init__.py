"""Speed and memory against PyTorch, printed as ratios; ``launch/benchmark.py`` runs them.

The one place of the repository that may import torch. A benchmark compares two *sides* that live in
their own processes and are timed in turn (``harness.py``); each other file has one subject.
"""
