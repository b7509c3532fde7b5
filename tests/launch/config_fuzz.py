"""Every key of every config × values that no key should take, through the real start of a run."""

import copy
import dataclasses
import importlib
import random
import typing
from collections.abc import Callable, Iterator
from typing import Any

import jax

from medvlp_jax.core.config import parse, to_plain
from medvlp_jax.core.errors import UserError

#: What is put in place of a value: wrong types, ends of ranges, other alphabets, nothing.
BAD: list[Any] = [
    None, True, False, 0, -1, -7, 1, 3, 2**31, 10**30, -(10**30), 10**5000,
    0.0, -1.0, 0.5, 1.5, 1e308, -1e308, 1e-308, float("nan"), float("inf"), float("-inf"),
    "", " ", "x", "nan", "\0", "\n", "ß±✓\U0001f600", "\udc80", "a" * 5000, "../..", "gs://b/x",
    "(", "[",
    (), (None,), (0,), (-1,), ("",), ("(",), (float("nan"),), ((),), (1, 2, 3, 4, 5), ({},),
    {}, {"": 0}, {"a": None}, {"x y/z": 1.0}, {1: 2}, {"(": 1},
]  # fmt: skip


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values of a config, groups included."""
    if path:
        yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list | tuple) and any(isinstance(v, dict) for v in tree):
        for i, value in enumerate(tree):
            yield from leaves(value, (*path, i))


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(tree)
    at = changed
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return changed


@dataclasses.dataclass(frozen=True)
class Start:
    """A config and what a launch script does with it before any work.

    Attributes:
      groups: the groups whose keys are changed; empty for all.
    """

    name: str
    config: dict[str, Any]
    start: Callable[[dict[str, Any]], object]
    groups: tuple[str, ...] = ()


def _full(schema: type, config: dict[str, Any]) -> dict[str, Any]:
    """The config with every key of its schema, also those that the file does not mention."""
    return to_plain(parse(schema, config))


def _run(config: dict[str, Any]) -> None:
    from medvlp_jax.run.build import Run

    assert Run(config, jax.devices()[:1]).train_step


def experiments() -> Iterator[Start]:
    from medvlp_jax.models.clip import clip_config
    from medvlp_jax.run.config import RunConfig
    from medvlp_jax.tasks import contrastive, gloria, medclip, mgca

    tasks = {
        "clip": contrastive.ContrastiveConfig,
        "gloria": gloria.GloriaConfig,
        "mgca": mgca.MgcaConfig,
        "medclip": medclip.MedclipConfig,
    }
    for name in ("quickstart", "clip", "gloria", "mgca", "medclip"):
        module = importlib.import_module(f"configs.cxr.{name}")
        config = to_plain(module.get_config("data" if name == "quickstart" else "small:data"))
        full = _full(RunConfig, config)
        del full["data"]["seed"]  # said elsewhere
        model = to_plain(clip_config(config["model"]))
        for key in ("image_size", "channels"):
            model["vision"].pop(key)
        full["model"] = model
        schema = tasks.get(name, contrastive.ContrastiveConfig)
        given = {k: v for k, v in config["task"].items() if k != "name"}
        own = {f.name: getattr(schema(), f.name) for f in dataclasses.fields(schema)}
        for key in ("channels", "variant"):
            own.pop(key, None)
        full["task"] = {**to_plain(own), **given, "name": config["task"]["name"]}
        yield Start(name, full, _run, () if name == "quickstart" else ("task", "model"))


def generators() -> Iterator[Start]:
    from data_gen.curation.clean import CurateConfig
    from data_gen.entities.build import BankConfig
    from data_gen.images.sampling import SampleImagesConfig
    from data_gen.phantom.job import PhantomConfig
    from data_gen.pipelines.captions.config import CaptionsConfig
    from data_gen.pipelines.pubmed import config as pubmed
    from data_gen.pipelines.syncxr import config as syncxr
    from data_gen.reports.sampling import SampleTextsConfig
    from data_gen.sources.importing.job import SOURCES

    def config_of(name: str, *words: str) -> dict[str, Any]:
        found = to_plain(importlib.import_module(f"configs.data_gen.{name}").get_config(*words))
        return {k: v for k, v in found.items() if k not in ("sampler",) or name == "syncxr"}

    def parsing(schema: type) -> Callable[[dict[str, Any]], object]:
        return lambda config: parse(schema, config)

    texts = config_of("texts", "openai")
    texts["writer"]["chat"] |= {"model": "m", "url": "http://127.0.0.1:1/v1"}
    captions = {**config_of("captions", "openai"), "source": "data/x"}
    captions["chat"] |= {"model": "m", "url": "http://127.0.0.1:1/v1"}
    schemas = [
        ("captions", CaptionsConfig, captions),
        ("phantom", PhantomConfig, config_of("phantom")),
        ("curate", CurateConfig, {**config_of("curate", "server"), "source": "data/x"}),
        ("entities", BankConfig, {**config_of("entities"), "source": "data/x"}),
        ("texts", SampleTextsConfig, {**texts, "records": "data/x"}),
        ("images", SampleImagesConfig, {**config_of("images"), "records": "data/x"}),
    ]
    for name, schema, config in schemas:
        yield Start(name, _full(schema, config), parsing(schema))
    yield Start("syncxr", config_of("syncxr"), syncxr.read)
    yield Start("pubmed", config_of("pubmed", "demo"), pubmed.read)
    for name, source in SOURCES.items():
        # The word behind the colon is a root, but of these two a set.
        words = () if name in ("medmnist", "suite") else ("data/x",)
        config = {**config_of(name, *words), "root": "data/x"}
        config = {k: v for k, v in config.items()
                  if k not in ("generator", "records_per_shard", "processes")}  # fmt: skip
        if name == "csv":
            config["csv"] = "table.csv"
        yield Start(name, _full(source.config, config), parsing(source.config))


def others() -> Iterator[Start]:
    from configs.cxr import finetune, synthetic_vs_real
    from configs.diffusion import sample
    from configs.lm import decode
    from medvlp_jax.aot.image_sampling import SamplingProgram
    from medvlp_jax.aot.text_decoding import DecodeConfig
    from medvlp_jax.run.finetune import FinetuningConfig
    from medvlp_jax.run.grid.grid import parse_grid, training_config, trials

    def grid(config: dict[str, Any]) -> None:
        parsed = parse_grid(config)
        training_config(parsed, trials(parsed)[0])

    yield Start("finetune", _full(FinetuningConfig, finetune.get_config().to_dict()),
                lambda config: parse(FinetuningConfig, config))  # fmt: skip
    small = to_plain(synthetic_vs_real.get_config("small"))
    small["budgets"].pop("epochs")  # which would open the data
    yield Start("grid", small, grid)
    for module, schema in ((decode, DecodeConfig), (sample, SamplingProgram)):
        config = {k: v for k, v in to_plain(module.get_config()).items() if k != "program"}
        yield Start(schema.__name__, _full(schema, config),
                    lambda config, schema=schema: parse(schema, config))  # fmt: skip


def all_starts() -> list[Start]:
    return [*experiments(), *generators(), *others()]


class Outcome(typing.NamedTuple):
    """What became of one change."""

    where: str
    value: str
    end: str  # accepted, refused, or what was raised


def mutations(starts: list[Start], share: float, seed: int = 0) -> Iterator[tuple[Start, Any, Any]]:
    rng = random.Random(seed)
    for start in starts:
        for path in leaves(start.config):
            if start.groups and path[0] not in start.groups:
                continue
            for value in BAD:
                if rng.random() < share:
                    yield start, path, value


def run(start: Start, path: tuple[Any, ...], value: Any) -> Outcome:
    where = f"{start.name}: {'.'.join(map(str, path))}"
    try:
        shown = repr(value)[:40]
    except ValueError:
        shown = "a huge number"
    try:
        start.start(replaced(start.config, path, value))
    except UserError as error:
        message = str(error)
        return Outcome(where, shown, "refused" if "\n" not in message else f"lines: {message!r}")
    except Exception as error:
        return Outcome(where, shown, f"{type(error).__name__}: {error}"[:300])
    return Outcome(where, shown, "accepted")
