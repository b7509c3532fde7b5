"""Makes a data folder: generates studies, or imports a data set.

.venv/bin/python launch/generate.py --config=configs/data_gen/phantom.py --out=data/phantom
    [--config.splits.train=4000 --config.size=128 --config.processes=2 ...]

The folder holds ArrayRecord shards, a manifest, the metadata that lets TFDS read it,
``summary.json`` and ``preview.png``. The same command goes on where it was stopped, by shard. Exit
status: 0 when done, 130 after Ctrl-C, 2 after an error that the message says how to mend.

.venv/bin/python launch/generate.py --out=data/phantom --verify

compares every file of a finished folder with the digest that was kept of it (after a copy, say);
exit status 2 if one differs.

Shards are made in processes of this machine (config.processes), or with --runner=ray on a cluster
that Ray starts here, or on the one at --ray_address; whichever it is, the bytes are the same.
"""

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from medvlp_jax.core.config import ConfigError, parse, unknown_word
from medvlp_jax.core.config_flag import define_config
from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.fields import Size, Workers
from medvlp_jax.core.files.folders import output_folder


def schema(config: Mapping[str, Any]) -> type | None:
    generator = config.get("generator")
    if generator == "phantom":
        from data_gen.phantom.job import PhantomConfig

        return PhantomConfig
    if generator == "figure_classes":
        from data_gen.pipelines.pubmed.screen.job import FigureClassesConfig

        return FigureClassesConfig
    if generator == "syncxr":
        from data_gen.pipelines.syncxr.config import SynCXRConfig

        return SynCXRConfig
    if generator == "curate":
        from data_gen.curation.clean import CurateConfig

        return CurateConfig
    if generator == "captions":
        from data_gen.pipelines.captions.config import CaptionsConfig

        return CaptionsConfig
    if generator == "entities":
        from data_gen.entities.build import BankConfig

        return BankConfig
    if generator == "pubmed":
        from data_gen.pipelines.pubmed.config import PubMedConfig

        return PubMedConfig
    if generator == "composites":
        from data_gen.pipelines.pubmed.compose.config import CompositesConfig

        return CompositesConfig
    if generator == "letters":
        from data_gen.pipelines.pubmed.compose.letters import LettersConfig

        return LettersConfig
    from data_gen.sources.registry import SOURCES

    return SOURCES[str(generator)].config if str(generator) in SOURCES else None


CONFIG = define_config("what to make", schema, required=False)
OUT = flags.DEFINE_string("out", None, "the data folder to make", required=True)
RUNNER = flags.DEFINE_enum("runner", "local", ["local", "ray"], "where the shards are made")
RAY_ADDRESS = flags.DEFINE_string(
    "ray_address", "", "of a running Ray cluster; empty starts one on this machine"
)
VERIFY = flags.DEFINE_bool("verify", False, "make nothing: compare --out with its digests")


def verify_folder() -> None:
    from medvlp_jax.data.store.dataset import splits, verify

    broken = verify(OUT.value)
    for line in broken:
        print(line, file=sys.stderr)
    if broken:
        raise UserError(f"{OUT.value} is not what was written; what differs is named above")
    shards = sum(map(len, splits(OUT.value).values()))
    print(f"{OUT.value}: {shards} shards and what lies beside them are what was written")


def make(parsed: Any, generate: Callable[..., Any], ray: Any = None) -> Any:
    """What ``generate`` made of a config where --runner says; prints what is in the folder."""
    from data_gen.jobs import summary
    from data_gen.jobs.choice import chosen

    with chosen(RUNNER.value, RAY_ADDRESS.value, ray) as runner:
        result = generate(parsed, OUT.value, runner=runner)
    if result.summary is not None:
        print(summary.table(result.summary))
    return result


def made(result: Any, look: str = "") -> None:
    """Prints the line of the shards, and where to look."""
    print(f"{OUT.value}: {result.made} shards made, {result.found} found" + (look and f"; {look}"))


def generate_phantom(config: dict[str, Any]) -> None:
    from data_gen.phantom.job import PhantomConfig, generate

    made(make(parse(PhantomConfig, config), generate), "see preview.png")


def generate_figure_classes(config: dict[str, Any]) -> None:
    from data_gen.pipelines.pubmed.screen.job import FigureClassesConfig, generate

    made(make(parse(FigureClassesConfig, config), generate), "see preview.png")


def generate_syncxr(config: dict[str, Any]) -> None:
    from data_gen.jobs import summary
    from data_gen.pipelines.syncxr.config import read
    from data_gen.pipelines.syncxr.fan_out import FanOut
    from data_gen.pipelines.syncxr.outcome import as_lines
    from data_gen.pipelines.syncxr.pipeline import generate

    parsed = read(config)
    fan_out = FanOut(parsed, "ray" if RUNNER.value == "ray" else "local", RAY_ADDRESS.value)
    try:
        result = generate(parsed, OUT.value, fan_out)
    finally:
        fan_out.close()
    print(summary.table(result.summary))
    print(as_lines(result.summary["syncxr"]))
    print(f"{OUT.value}: {result.made} shards made, {result.found} found; see {result.report}")


@dataclasses.dataclass(frozen=True)
class ImportSettings:
    """The keys of an import's config that say how, not what."""

    records_per_shard: Size = 1000
    processes: Workers = 0


def import_source(config: dict[str, Any]) -> None:
    from data_gen.jobs import summary
    from data_gen.jobs.choice import chosen
    from data_gen.sources.importing.job import run_import

    source = config.pop("generator")
    job = {key: config.pop(key) for key in ("records_per_shard", "processes") if key in config}
    how = parse(ImportSettings, job)
    with chosen(RUNNER.value, RAY_ADDRESS.value) as runner:
        report = run_import(
            source, config, OUT.value, how.records_per_shard, how.processes, runner=runner
        )
    about = f"Imported from {source} by medvlp_jax; split: {report.split}."
    more = {"import": report.as_json()}
    print(summary.table(summary.finish(OUT.value, about, more, report.origin)))
    print(report)


def curate(config: dict[str, Any]) -> None:
    from data_gen.curation.clean import CurateConfig, clean
    from data_gen.data_page import write_data_report

    print(make(parse(CurateConfig, config), clean))
    print(f"see {write_data_report(OUT.value)}")


def write_captions(config: dict[str, Any]) -> None:
    from data_gen.pipelines.captions.config import CaptionsConfig
    from data_gen.pipelines.captions.pipeline import generate

    result = make(parse(CaptionsConfig, config), generate)
    print(result)
    made(result, f"see {result.report}")


def generate_pubmed(config: dict[str, Any]) -> None:
    from data_gen.pipelines.pubmed.config import read
    from data_gen.pipelines.pubmed.outcome import as_lines, collected_lines, scores_lines
    from data_gen.pipelines.pubmed.pipeline import generate

    parsed = read(config)
    result = make(parsed, generate, parsed.ray)
    if result.summary is None:
        print(collected_lines(result.collected))
        return
    print(as_lines(result.summary["pubmed"]))
    print(scores_lines(result.summary["pubmed"].get("scores", {})), end="")
    if result.seconds:
        print("seconds: " + ", ".join(f"{name} {n:.0f}" for name, n in result.seconds.items()))
    made(result, f"see {result.report}")


def draw_composites(config: dict[str, Any]) -> None:
    from data_gen.pipelines.pubmed.compose.config import CompositesConfig
    from data_gen.pipelines.pubmed.compose.job import generate
    from data_gen.pipelines.pubmed.figures.measure import SCORES, measure, table

    parsed = parse(CompositesConfig, config)
    made(make(parsed, generate))
    if parsed.score is not None:
        print(table(measure(pathlib.Path(OUT.value), parsed.score)))
        print(f"see {OUT.value}/{SCORES}")


def draw_letters(config: dict[str, Any]) -> None:
    from data_gen.pipelines.pubmed.compose.letters import LettersConfig, generate

    made(make(parse(LettersConfig, config), generate))


def build_entities(config: dict[str, Any]) -> None:
    from data_gen.entities.build import BANK, BankConfig, build_bank

    bank = build_bank(parse(BankConfig, config), OUT.value)
    counts = ", ".join(f"{n} {kind}" for kind, n in bank.counts().items())
    print(f"{OUT.value}/{BANK}: {len(bank)} entities ({counts})")


GENERATORS: dict[str, Callable[[dict[str, Any]], None]] = {
    "phantom": generate_phantom,
    "figure_classes": generate_figure_classes,
    "syncxr": generate_syncxr,
    "curate": curate,
    "captions": write_captions,
    "entities": build_entities,
    "pubmed": generate_pubmed,
    "composites": draw_composites,
    "letters": draw_letters,
}


def generators() -> dict[str, Callable[[dict[str, Any]], None]]:
    """What ``config.generator`` may say: a word of GENERATORS, or a data set to import."""
    from data_gen.sources.registry import SOURCES

    return {**GENERATORS, **dict.fromkeys(SOURCES, import_source)}


def main(_: list[str]) -> None:
    if VERIFY.value:
        verify_folder()
        return
    if CONFIG.value is None:
        raise UserError("--config is missing: give one of configs/data_gen, or --verify")
    output_folder(OUT.value)
    config = dict(CONFIG.value)
    generator = config.get("generator")
    known = generators()
    if not isinstance(generator, str) or generator not in known:
        raise ConfigError(unknown_word("config.generator", generator, known, "generator"))
    known[generator](config)
    print(f"next: {_next(generator, shlex.quote(OUT.value), config)}")


def _next(generator: str, out: str, config: Mapping[str, Any]) -> str:
    if generator == "figure_classes":
        return (
            f".venv/bin/python launch/train.py --config=configs/brain/screen.py:{out} "
            "--workdir=runs/screen"
        )
    if generator == "entities":
        return (
            ".venv/bin/python launch/generate.py --config=configs/data_gen/syncxr.py "
            f"--config.bank={out}/bank.jsonl --out=data/syncxr"
        )
    if generator == "pubmed" and config.get("until") == "collect":
        return "the same command with --config.until=records goes on from the articles"
    if generator == "pubmed":
        return (
            f".venv/bin/python launch/train.py --config=configs/brain/blip.py:small:{out} "
            "--workdir=runs/blip"
        )
    if generator in ("composites", "letters"):
        net = "panels" if generator == "composites" else "labels"
        return (
            f".venv/bin/python launch/train.py --config=configs/brain/{net}.py:{out} "
            f"--workdir=runs/{net}"
        )
    return (
        f".venv/bin/python launch/train.py --config=configs/cxr/clip.py:small:{out} "
        "--workdir=runs/clip; or, with a trained model, "
        f".venv/bin/python launch/evaluate.py --checkpoint=RUN --data={out} --out=OUT"
    )


if __name__ == "__main__":
    run(main)
