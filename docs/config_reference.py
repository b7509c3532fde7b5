"""The reference of all config keys, from the dataclasses that a config is parsed into.

``mkdocs.yml`` names this file as a hook: the pages ``reference/config/*.md`` are made while the
site is built and are never stored. Types and ranges come from the annotations, defaults from the
fields, sentences from ``Attributes:`` in the docstrings, so that the page cannot say something else
than the code.
"""

import dataclasses
import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from medvlp_jax.core.fields import FLOAT32, INT32, Compiles, OnDisk, Range


class Root(NamedTuple):
    """A schema that a config, or a group of one, is parsed into."""

    path: str
    schema: type[Any]
    about: str = ""


class Page(NamedTuple):
    """One page of the reference."""

    file: str
    title: str
    about: str
    roots: tuple[Root, ...]


def pages() -> list[Page]:
    """All pages, from the registries as they are now."""
    from data_gen.curation.clean import CurateConfig
    from data_gen.entities.build import BankConfig
    from data_gen.images.sampling import SampleImagesConfig
    from data_gen.phantom.job import PhantomConfig
    from data_gen.pipelines.captions.config import CaptionsConfig
    from data_gen.pipelines.pubmed.compose.config import CompositesConfig
    from data_gen.pipelines.pubmed.compose.letters import LettersConfig
    from data_gen.pipelines.pubmed.config import PubMedConfig
    from data_gen.pipelines.syncxr.config import SynCXRConfig
    from data_gen.reports.sampling import SampleTextsConfig
    from data_gen.sources.registry import SOURCES
    from medvlp_jax.aot.image_sampling import SamplingProgram
    from medvlp_jax.aot.text_decoding import DecodeConfig
    from medvlp_jax.models.registry import MODELS
    from medvlp_jax.models.towers import TOWERS
    from medvlp_jax.run.config import RunConfig
    from medvlp_jax.run.finetune import FinetuningConfig
    from medvlp_jax.run.grid.grid import GridConfig
    from medvlp_jax.tasks.registry import TASKS

    towers = {(side, type(preset)): preset for side in TOWERS for preset in TOWERS[side].values()}
    named = {
        key: [name for name, preset in TOWERS[key[0]].items() if type(preset) is key[1]]
        for key in towers
    }
    return [
        Page(
            "training",
            "Training: `launch/train.py`",
            "One run. `config.model` and `config.task` are those of the pages *models* and "
            "*tasks*.",
            (Root("config", RunConfig),),
        ),
        Page(
            "models",
            "Models: `config.model`",
            "`config.model.name` picks one; `config.model.vision.name` and "
            "`config.model.text.name` pick a tower's preset, whose sizes the other keys replace.",
            (
                *(Root("config.model", m.config, f"`name={n!r}`") for n, m in MODELS.items()),
                *(
                    Root(f"config.model.{side}", schema, "presets: " + _words(names))
                    for (side, schema), names in named.items()
                ),
            ),
        ),
        Page(
            "tasks",
            "Tasks: `config.task`",
            "`config.task.name` picks one.",
            tuple(Root("config.task", t.config, f"`name={n!r}`") for n, t in TASKS.items()),
        ),
        Page(
            "evaluation",
            "Fine-tuning and grids of runs",
            "What `launch/evaluate.py` measures is `config.eval` of the page *training*.",
            (
                Root("config", FinetuningConfig, "`launch/finetune.py`"),
                Root("config", GridConfig, "`launch/experiment.py`"),
            ),
        ),
        Page(
            "data",
            "Data: `launch/generate.py`",
            "`config.generator` picks one.",
            (
                Root("config", PhantomConfig, "`generator='phantom'`"),
                Root("config", SynCXRConfig, "`generator='syncxr'`"),
                Root("config", CurateConfig, "`generator='curate'`"),
                Root("config", CaptionsConfig, "`generator='captions'`"),
                Root("config", BankConfig, "`generator='entities'`"),
                Root("config", PubMedConfig, "`generator='pubmed'`"),
                Root("config", CompositesConfig, "`generator='composites'`"),
                Root("config", LettersConfig, "`generator='letters'`"),
                *(Root("config", s.config, f"`generator={n!r}`") for n, s in SOURCES.items()),
            ),
        ),
        Page(
            "generation",
            "Sampling and compilation",
            "`launch/sample.py` and `launch/compile.py`.",
            (
                Root("config", SampleTextsConfig, "`launch/sample.py`, `sampler='texts'`"),
                Root("config", SampleImagesConfig, "`launch/sample.py`, `sampler='images'`"),
                Root("config", DecodeConfig, "`launch/compile.py`, `program='decode'`"),
                Root("config", SamplingProgram, "`launch/compile.py`, `program='images'`"),
            ),
        ),
    ]


def schemas(page: Page) -> dict[type[Any], list[tuple[str, str]]]:
    """Every dataclass of a page -> where it stands: ``(path, about)``; roots and what they hold."""
    found: dict[type[Any], list[tuple[str, str]]] = {}

    def visit(schema: type[Any], path: str, about: str) -> None:
        places = found.setdefault(schema, [])
        places.append((path, about))
        if len(places) > 1:
            return
        hints = typing.get_type_hints(schema, include_extras=True)
        for field in dataclasses.fields(schema):
            for inner, suffix in nested(hints[field.name]):
                visit(inner, f"{path}.{field.name}{suffix}", "")

    for root in page.roots:
        visit(root.schema, root.path, root.about)
    return found


def nested(hint: Any, suffix: str = "") -> Iterator[tuple[type[Any], str]]:
    """The dataclasses in a type, and how their keys are reached: ``[0]``, ``.NAME``."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint, suffix
    elif origin is typing.Annotated:
        yield from nested(args[0], suffix)
    elif origin in (typing.Union, types.UnionType):
        for one in args:
            yield from nested(one, suffix)
    elif origin is tuple:
        for one in args:
            yield from nested(one, f"{suffix}[0]")
    elif origin is dict:
        yield from nested(args[1], f"{suffix}.NAME")


def sentences(schema: type[Any]) -> dict[str, str]:
    """Field -> what the ``Attributes:`` of the class, or of one it inherits from, say about it."""
    found: dict[str, str] = {}
    for one in reversed(schema.__mro__[:-1]):
        own = _attributes((one.__doc__ and inspect.cleandoc(one.__doc__)) or "")
        # "Others: see :class:`room.file.Class`"
        for module, name in re.findall(r"`([\w.]+)\.(\w+)`", own.pop("Others", "")):
            found = sentences(getattr(importlib.import_module(module), name)) | found
        found |= own
    return found


def _attributes(docstring: str) -> dict[str, str]:
    if (start := re.search(r"^Attributes:\n", docstring, re.MULTILINE)) is None:
        return {}
    block = re.split(r"^\S", docstring[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    indent = re.match(r" *", block)
    assert indent is not None
    items = re.split(rf"^{indent[0]}(?=\S)", block, flags=re.MULTILINE)
    found = {}
    for item in filter(str.strip, items):
        names, colon, words = item.partition(":")
        if colon:
            found |= dict.fromkeys(re.split(r",\s*", names.strip()), " ".join(words.split()))
    return found


def typed(hint: Any, page: str, at: Mapping[type[Any], str]) -> str:
    """A type in words, with its range, and links to the tables of other groups."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return "any value"
    if origin is typing.Annotated:
        checks = [_check(check) for check in args[1:]]
        return " ".join([typed(args[0], page, at), *filter(None, checks)])
    if origin in (typing.Union, types.UnionType):
        options = [typed(one, page, at) for one in args if one is not type(None)]
        return " or ".join(options + ["None"] * (type(None) in args))
    if origin is Literal:
        return " / ".join(f"`{one!r}`" for one in args)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"[{hint.__name__}]({at[hint]})"
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return f"list of {typed(args[0], page, at)}"
    if origin is tuple:
        return "list of " + ", ".join(typed(one, page, at) for one in args)
    if origin is dict:
        return f"name → {typed(args[1], page, at)}"
    return getattr(hint, "__name__", str(hint))


def _check(check: Any) -> str:
    if isinstance(check, Range):
        ends = []
        if check.low > -FLOAT32 and check.low != -INT32:
            ends.append(f"{'above' if check.low_open else '≥'} {check.low:.10g}")
        if check.high < INT32:
            ends.append(f"{'below' if check.high_open else '≤'} {check.high:.10g}")
        return ", ".join(ends)
    if isinstance(check, OnDisk):
        return "(a path)"
    return "(a regular expression)" if isinstance(check, Compiles) else ""


def default(field: Any) -> str:
    """The default of a field; of a group, what differs from the group's own defaults."""
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "required"
    if not dataclasses.is_dataclass(value):
        return f"`{_plain(value)}`"
    return ", ".join(f"`{key}={_plain(v)}`" for key, v in _changes(value)) or "see there"


def _changes(value: Any) -> list[tuple[str, Any]]:
    own = {
        f.name: f.default if f.default is not dataclasses.MISSING else f.default_factory()
        for f in dataclasses.fields(value)
        if f.default is not dataclasses.MISSING or callable(f.default_factory)
    }
    return [
        (f.name, getattr(value, f.name))
        for f in dataclasses.fields(value)
        if f.name not in own or own[f.name] != getattr(value, f.name)
    ]


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if dataclasses.is_dataclass(value):
        inner = ", ".join(f"{key}={_plain(v)}" for key, v in _changes(value))
        return f"{type(value).__name__}({inner})"
    return repr(value)


def _words(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    text = re.sub(r":(?:class|func|mod|data|meth):`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`").replace("|", "\\|").replace("\n", " ")


def missing() -> list[str]:
    """Fields without a sentence: ``module.Class.field``."""
    return sorted(
        {
            f"{schema.__module__}.{schema.__qualname__}.{field.name}"
            for page in pages()
            for schema in schemas(page)
            for field in dataclasses.fields(schema)
            if not sentences(schema).get(field.name)
        }
    )


def written(page: Page) -> str:
    """A page as Markdown: one table for every group of keys."""
    found = schemas(page)
    at = {schema: f"#{_anchor(schema)}" for schema in found}
    lines = [f"# {page.title}", "", page.about, ""]
    for schema, places in found.items():
        first = (inspect.getdoc(schema) or "").split("\n\n")[0].replace("\n", " ")
        lines += [f"## {schema.__name__} {{: #{_anchor(schema)} }}", "", _cell(first), ""]
        seen = [f"`{path}`" + (f" ({about})" if about else "") for path, about in places]
        lines += ["Where: " + "; ".join(dict.fromkeys(seen)), ""]
        if not dataclasses.fields(schema):
            lines += ["No keys.", ""]
            continue
        lines += ["| key | type and range | default | |", "|---|---|---|---|"]
        hints, said = typing.get_type_hints(schema, include_extras=True), sentences(schema)
        for field in dataclasses.fields(schema):
            kind = typed(hints[field.name], page.file, at)
            row = (f"`{field.name}`", kind, default(field), said.get(field.name, ""))
            lines.append("| " + " | ".join(map(_cell, row)) + " |")
        lines.append("")
    return "\n".join(lines)


def _anchor(schema: type[Any]) -> str:
    return f"{schema.__module__.rpartition('.')[2]}-{schema.__name__}".lower()


def on_files(files: Any, config: Any) -> Any:
    """The hook of mkdocs: adds the pages to the site."""
    from mkdocs.structure.files import File

    for page in pages():
        name = f"reference/config/{page.file}.md"
        files.append(File.generated(config, name, content=written(page)))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Names of docstrings, ``:class:`X```, without the word for their kind."""
    return re.sub(r":(?:class|func|mod|data|meth|attr):<code>~?", "<code>", html)
