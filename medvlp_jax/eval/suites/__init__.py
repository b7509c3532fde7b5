"""Suites: lists of labelled sets whose zero-shot scores are averaged, and scores kept per image."""
