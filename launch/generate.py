"""Makes a data folder: generates studies, or imports a data set.

python launch/generate.py --config=configs/data_gen/phantom.py --out=data/phantom
    [--config.splits.train=4000 --config.size=128 --config.processes=2 ...]

The folder holds ArrayRecord shards, a manifest, the metadata that lets TFDS read it,
``summary.json`` and ``preview.png``. The same command goes on where it was stopped, by shard. Exit
status: 0 when done, 130 after Ctrl-C, 2 after an error that the message says how to mend.
"""

import sys
from collections.abc import Callable
from typing import Any

from absl import flags
from ml_collections import config_flags

from medvlp_jax.core.config import ConfigError, parse, to_plain
from medvlp_jax.core.errors import run

# Not locked: tables of columns take any key. parse() refuses what is unknown, by name.
CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="what to make", lock_config=False, accept_new_attributes=True
)
OUT = flags.DEFINE_string("out", None, "the data folder to make", required=True)
flags.mark_flag_as_required("config")


def generate_phantom(config: dict[str, Any]) -> None:
    from data_gen import summary
    from data_gen.phantom.job import PhantomConfig, generate

    result = generate(parse(PhantomConfig, config), OUT.value)
    print(summary.table(result.summary))
    print(f"{OUT.value}: {result.made} shards made, {result.found} found; see preview.png")


def import_source(config: dict[str, Any]) -> None:
    from data_gen import jobs, summary
    from data_gen.sources.job import run_import

    source = config.pop("generator")
    per_shard, processes = config.pop("records_per_shard", 1000), config.pop("processes", 0)
    workers = 0 if processes == 1 else processes or jobs.cores()
    report = run_import(source, config, OUT.value, per_shard, workers, sys.stderr.isatty())
    about = f"Imported from {source} by medvlp_jax; split: {report.split}."
    print(summary.table(summary.finish(OUT.value, about)))
    print(report)


def curate(config: dict[str, Any]) -> None:
    from data_gen import summary
    from data_gen.curation.clean import CurateConfig, clean
    from data_gen.report import write_data_report

    cleaned = clean(parse(CurateConfig, config), OUT.value)
    print(summary.table(cleaned.summary))
    print(cleaned)
    print(f"see {write_data_report(OUT.value)}")


GENERATORS: dict[str, Callable[[dict[str, Any]], None]] = {
    "phantom": generate_phantom,
    "curate": curate,
    "csv": import_source,
    "chexpert": import_source,
    "mimic_cxr": import_source,
    "nih": import_source,
    "openi": import_source,
    "rsna": import_source,
    "siim": import_source,
    "padchest": import_source,
    "vindr": import_source,
    "ms_cxr": import_source,
    "covidx": import_source,
    "covid_rural": import_source,
}


def main(_: list[str]) -> None:
    config = to_plain(CONFIG.value)
    generator = config.get("generator")
    if generator not in GENERATORS:
        raise ConfigError(f"config.generator={generator!r} must be one of {sorted(GENERATORS)}")
    GENERATORS[generator](config)


if __name__ == "__main__":
    run(main)
