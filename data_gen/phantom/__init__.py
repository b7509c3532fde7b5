"""Procedural frontal chest radiographs with exact truth."""
