"""``--config=FILE[:WORD]`` and ``--config.a.b=value``: a config file and changes to it.

A file has ``get_config(word)``, which gives a ``ConfigDict``. A change may name any key that the
schema knows, whether the file mentions it or not; its text becomes a value of the type that the
schema asks for. What a value may be, and whether there is such a key, is said later by
:func:`medvlp_jax.core.config.parse`, so that there is one place that knows.
"""

import ast
import dataclasses
import importlib.machinery
import inspect
import pathlib
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_collections
from absl import flags

from medvlp_jax.core.config import ConfigError, to_plain
from medvlp_jax.core.errors import one_net

flags.disclaim_key_flags()  # a flag belongs to the script that asks for it

#: What a config is checked against; given the config, as its words may choose. None: not known.
SchemaOf = Callable[[Any], type | None]
Path = tuple[str | int, ...]

_PIECE = re.compile(
    r"""\['(?P<single>[^']*)'\] | \["(?P<double>[^"]*)"\] | \[(?P<index>\d{1,9})\]
      | \.(?P<word>[^.=]+?)(?= \. | = | \[\d+\] | \[['"] | $ )""",
    re.VERBOSE | re.DOTALL,
)
_MISSING = object()


class ConfigFlag:
    """The flag ``--config``; :attr:`value` is the config as plain dicts and lists, or None."""

    def __init__(self, name: str, schema: SchemaOf) -> None:
        self._name, self._schema = name, schema
        self._value: dict[str, Any] | None = None

    @property
    def value(self) -> Any:
        return self._value

    def finish(self, file: str | None, settings: Sequence[tuple[str, str | None]]) -> None:
        """Loads the file and applies what was set behind it.

        Args:
          settings: ``(".a.b", text)`` in the order of the command line; text is None where there
            was no value.

        Raises:
          ConfigError: the file cannot be used, or a setting cannot be understood.
        """
        if file is None:
            if settings:
                raise ConfigError(f"--{self._name} is missing: give a config file")
            return
        config = load_config(file)
        schema = self._schema(config) if settings else None
        changes: dict[Path, list[str | None]] = {}
        for path, text in settings:
            changes.setdefault(split_path(path, self._name), []).append(text)
        found = []
        for path, texts in changes.items():
            where = self._name + _joined(path)
            path = _with_dots(schema, path)
            hint = _hint_at(schema, path)
            current = _look_up(config, path)
            if hint is Any:
                hint = _hint_of(current)
            value = _from_texts(hint, texts, where)
            found.append((path, value, where))
            if current is not _MISSING:
                _set_references(config, path, value)
        plain = to_plain(config)
        for path, value, where in found:
            _put(plain, path, value, where)
        self._value = plain


def define_config(
    help_string: str, schema: SchemaOf, name: str = "config", required: bool = True
) -> ConfigFlag:
    """Defines the flag ``--config``, whose keys can be set by ``--config.key=value``."""
    flags.DEFINE_string(name, None, f"{help_string}: FILE.py or FILE.py:WORD", required=required)
    config = ConfigFlag(name, schema)
    vars(flags.FLAGS[name])["finish"] = config.finish  # what core.errors looks for
    return config


def load_config(file: str) -> ml_collections.ConfigDict:
    """What ``get_config`` of ``FILE.py`` or ``FILE.py:WORD`` gives.

    Raises:
      ConfigError: there is no such file, or it is not a config.
    """
    name, colon, word = file.partition(":")
    path = pathlib.Path(name)
    if "\0" in name or not path.exists():
        raise ConfigError(f"there is no config file {name}")
    if not path.is_file():
        raise ConfigError(f"{name} is a folder or device, not a config file such as configs/x.py")
    words = (word,) if colon else ()
    try:
        with one_net(name, "mend it", ConfigError, "cannot be used as a config"):
            loader = importlib.machinery.SourceFileLoader("config_file", str(path))
            module = types.ModuleType("config_file")
            module.__file__ = str(path)
            exec(loader.source_to_code(path.read_bytes(), str(path)), module.__dict__)
            get_config = getattr(module, "get_config", None)
            if not callable(get_config):
                raise ConfigError(f"{name} has no function get_config: it is no config file")
            try:
                inspect.signature(get_config).bind(*words)
            except TypeError as error:
                what = "takes nothing behind a colon" if colon else "needs a word behind a colon"
                raise ConfigError(f"{name} {what}: {name}{'' if colon else ':WORD'}") from error
            config = get_config(*words)
    except SystemExit as error:
        raise ConfigError(f"{name} ends the program where it should give a config") from error
    if not isinstance(config, ml_collections.ConfigDict | Mapping):
        raise ConfigError(f"get_config of {name} gives {type(config).__name__}, not a ConfigDict")
    return ml_collections.ConfigDict(config)  # pyright: ignore[reportArgumentType]


def split_path(text: str, name: str = "config") -> Path:
    """``.a.b[0]['c d']`` -> ``("a", "b", 0, "c d")``; blanks, dashes and slashes need no quotes.

    Raises:
      ConfigError: it is no path.
    """
    parts, at = [], 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise ConfigError(f"--{name}{text}: write --{name}.GROUP.KEY=VALUE")
        found = piece.groupdict()
        index = found.pop("index")
        parts.append(int(index) if index else next(v for v in found.values() if v is not None))
        at = piece.end()
    return tuple(parts)


def _joined(path: Path) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)


def _with_dots(schema: type | None, path: Path) -> Path:
    """The path with the rest of it as one key behind a table of plain values: columns may have
    dots in their names."""
    hint: Any = schema
    for i, part in enumerate(path):
        hint = _bare(hint)
        if typing.get_origin(hint) is dict and _bare(typing.get_args(hint)[1]) in (str, int, float):
            return (*path[:i], _joined(path[i:])[1:])
        hint = _below(hint, part)
    return path


def _hint_at(schema: type | None, path: Path) -> Any:
    """The type that the schema has for a key; Any where it says nothing."""
    hint: Any = schema
    for part in path:
        hint = _below(_bare(hint), part)
    return hint


def _below(hint: Any, part: str | int) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return typing.get_type_hints(hint).get(str(part), Any)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is dict:
        return args[1]
    if origin is tuple and isinstance(part, int):
        return args[0] if args[-1] is Ellipsis else args[min(part, len(args) - 1)]
    return Any


def _bare(hint: Any) -> Any:
    """A type without ``| None``."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [a for a in typing.get_args(hint) if a is not type(None)]
        return options[0] if len(options) == 1 else hint
    return hint


def _hint_of(value: Any) -> Any:
    """The type of a value that no schema describes."""
    if isinstance(value, bool | int | float | str):
        return type(value)
    if isinstance(value, list | tuple):
        return tuple[str, ...] if all(isinstance(v, str) for v in value) else tuple[Any, ...]
    return Any


def _from_texts(hint: Any, texts: Sequence[str | None], where: str) -> Any:
    given = [t for t in texts if t is not None]
    if len(given) < len(texts):
        if _bare(hint) in (bool, Any):
            return True
        raise ConfigError(f"--{where} needs a value: --{where}=VALUE")
    if len(given) > 1 and typing.get_origin(_bare(hint)) is tuple:
        return [v for text in given for v in _from_text(_bare(hint), text)]
    return _from_text(hint, given[-1])


def _from_text(hint: Any, text: str) -> Any:
    """A value of the type where the text is one; otherwise the text, which parse() refuses."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if type(None) in args and text.lower() in ("none", "null"):
            return None
        return _from_text(next(a for a in args if a is not type(None)), text)
    if origin is typing.Literal:
        return next((a for a in args if str(a) == text), text)
    if hint is str:
        return text
    if hint is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            return None if text in ("None", "none") else text
    value = _literal(text)
    if origin is not tuple or isinstance(value, list):
        return value
    if text.lstrip().startswith(("(", "[")):
        return value if isinstance(value, tuple) else [value]
    element = args[0] if args else Any
    return [_from_text(element, part.strip()) for part in text.split(",")] if text else []


def _literal(text: str) -> Any:
    """A Python literal where the text is one, else the text."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except Exception:  # whatever a parser of Python says: then it is no literal
        return text


def _look_up(config: Any, path: Path) -> Any:
    at = config
    for part in path:
        try:
            at = at[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return _MISSING
    return at


def _set_references(config: Any, path: Path, value: Any) -> None:
    """Changes a key in the ConfigDict itself, as others may be computed from it."""
    holder = _look_up(config, path[:-1])
    if isinstance(holder, ml_collections.ConfigDict) and not isinstance(value, dict):
        holder.get_ref(path[-1]).set(value, type_safe=False)


def _put(tree: Any, path: Path, value: Any, where: str) -> None:
    at: Any = tree
    for i, part in enumerate(path):
        last = i == len(path) - 1
        if isinstance(at, dict) and isinstance(part, str):
            if last:
                at[part] = value
            elif at.get(part) is None:
                at[part] = {}
        elif isinstance(at, list) and isinstance(part, int) and part <= len(at):
            if part == len(at):
                at.append({})
            if last:
                at[part] = value
        else:
            there = f"config{_joined(path[:i])}"
            what = f"a list of {len(at)}" if isinstance(at, list) else f"{at!r:.60}"
            raise ConfigError(f"--{where}: {there} is {what}, which has no {part!r}")
        at = _look_up(at, (part,))
