"""The synthetic PubMed behind a mock of the services, and the config that collects from it."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

from data_gen.jobs.job import Runner
from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.config import PubMedConfig
from data_gen.pipelines.pubmed.mock.faults import FaultPlan
from data_gen.pipelines.pubmed.mock.server import serving
from data_gen.pipelines.pubmed.synthetic.library import SyntheticLibrary
from data_gen.pipelines.pubmed.synthetic.pool import make_pool
from data_gen.sources.importing.base import patient_split

POOL = "panels"
#: Splits that models are measured on; training may be divided into several.
HELD_OUT = ("validation", "test")


def library_of(config: PubMedConfig, work: pathlib.Path) -> SyntheticLibrary:
    """The library, whose panels are in ``work``."""
    records = config.records
    fractions = dict(records.split_fractions)

    def split_of(pmcid: str) -> str:
        split = patient_split(pmcid, fractions, records.split_seed)
        return split if split in HELD_OUT else "train"

    return SyntheticLibrary(config.synthetic, work / POOL, split_of)


@contextlib.contextmanager
def served(
    config: PubMedConfig, work: pathlib.Path, runner: Runner | None, progress: bool
) -> Iterator[CollectConfig]:
    """Draws the panels that ``work`` lacks, serves the library, and yields what collects from it.

    The addresses differ from run to run, and are no part of what is collected.
    """
    synthetic = config.synthetic
    make_pool(synthetic.pool, synthetic.seed, work / POOL, config.processes, progress, runner)
    library = library_of(config, work)
    with serving(library, FaultPlan(config.faults, synthetic.seed)) as mock:
        yield dataclasses.replace(config.collect, endpoints=mock.endpoints)
