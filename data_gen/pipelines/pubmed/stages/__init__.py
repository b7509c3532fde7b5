"""Stages between the articles and the records, each a job of lines: one an article, in order."""
