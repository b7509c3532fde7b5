"""Entities of reports: what a report can name, where it stands, and balanced draws of it."""
