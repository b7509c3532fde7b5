"""Procedural pictures with reports and exact truth, one folder per modality."""
