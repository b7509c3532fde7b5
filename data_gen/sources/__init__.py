"""Importers of public data sets, one module each, and the job that runs them."""

from data_gen.sources.importing.base import SourceConfig, SourceError
from data_gen.sources.importing.job import ImportReport, run_import
from data_gen.sources.registry import SOURCES

__all__ = ["SOURCES", "ImportReport", "SourceConfig", "SourceError", "run_import"]
