"""From an ``ml_collections`` ConfigDict to small frozen dataclasses, validated once.

A config file has ``get_config(arg)``; the command line changes it with ``--config.a.b=c``; then
:func:`parse` turns the whole tree into dataclasses and nothing below a factory ever sees the
ConfigDict again.
"""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import ml_collections

from medvlp_jax.core.errors import UserError, reason

T = TypeVar("T")


class ConfigError(UserError, ValueError):
    """A key or a value of the config is wrong; the message names the key and the mend."""


def parse(schema: type[T], config: Mapping[str, Any], where: str = "config") -> T:
    """Builds ``schema`` (a dataclass) from a mapping, field by field.

    Nested dataclasses, ``X | None``, ``tuple[X, ...]``, ``dict[str, X]``, ``Literal`` and the types
    of :mod:`medvlp_jax.core.fields` are understood. Unknown keys, missing keys, wrong types and
    numbers out of range raise :class:`ConfigError`.
    """
    if not isinstance(config, Mapping | ml_collections.ConfigDict):
        raise ConfigError(f"{where} must be a group of keys, not {_shown(config)}")
    hints = typing.get_type_hints(schema, include_extras=True)
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, schema))}
    for key in config:
        if key not in fields:
            raise ConfigError(unknown_key(where, str(key), fields))
    values = {}
    for name, field in fields.items():
        if name in config:
            values[name] = _convert(hints[name], config[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}.{name} is missing; it has no default")
    try:
        return schema(**values)
    except UserError:
        raise
    except Exception as e:  # of a dataclass's own __post_init__
        words = str(e) if isinstance(e, ValueError) and str(e) else reason(e)
        raise ConfigError(f"{where}: {words}") from e


def unknown_key(where: str, key: str, known: Any) -> str:
    """The sentence for an unknown key, with the nearest valid one."""
    near = difflib.get_close_matches(key[:100], list(known), n=1, cutoff=0.5)
    hint = f"did you mean {where}.{near[0]}?" if near else f"valid: {', '.join(sorted(known))}"
    return f"{where}.{_printable(key)} is not a known key; {hint}"


def unknown_word(where: str, word: Any, known: Iterable[str], what: str = "word") -> str:
    """The sentence for a value that is none of the ``known`` words, with the nearest one."""
    words = sorted(known)
    near = difflib.get_close_matches(_shown(word).strip("'"), words, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{where}={_shown(word)} is not a known {what}; {hint}there are {', '.join(words)}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, ml_collections.FieldReference):
        value = value.get()
    if hint is Any:
        return _whole_numbers_fit(to_plain(value), where)
    if origin is typing.Annotated:
        value = _convert(args[0], value, where)
        for complaint in (check.complaint(value) for check in args[1:]):
            if complaint:
                raise ConfigError(f"{where}={_shown(value)} {complaint}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        options = [a for a in args if a is not type(None)]
        errors = []
        for option in options:
            try:
                return _convert(option, value, where)
            except ConfigError as e:
                errors.append(str(e))
        raise ConfigError(errors[0])
    if origin is typing.Literal:
        # 1 == True == 1.0, but a config says which of them it means.
        if not any(value == a and type(value) is type(a) for a in args):
            word, words = _shown(value).strip("'"), [str(a) for a in args]
            near = difflib.get_close_matches(word, words, n=1, cutoff=0.4)
            hint_text = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{where}={_shown(value)} must be one of {list(args)}{hint_text}")
        return value
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, not {_shown(value)}")
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(args) != len(value):
            raise ConfigError(f"{where} must have {len(args)} entries, not {len(value)}")
        return tuple(
            _convert(a, v, f"{where}[{i}]")
            for i, (a, v) in enumerate(zip(args, value, strict=True))
        )
    if origin is dict:
        if not isinstance(value, Mapping | ml_collections.ConfigDict):
            raise ConfigError(f"{where} must be a group of keys, not {_shown(value)}")
        return {
            _convert(args[0], str(k), f"{where}, key {_printable(str(k))}"): _convert(
                args[1], value[k], f"{where}.{_printable(str(k))}"
            )
            for k in value
        }
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ConfigError(f"{where}={_shown(value)} must be a finite number") from None
    if hint in (int, float, str, bool):
        if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
            raise ConfigError(
                f"{where}={_shown(value)} must be {hint.__name__}, not {type(value).__name__}"
            )
        return _text_fits(value, where) if isinstance(value, str) else value
    raise TypeError(f"{where}: config schemas cannot use the type {hint}")


def _shown(value: Any, limit: int = 60) -> str:
    """A value in a message: on one line, printable, not pages of it."""
    try:
        return _printable(repr(value), limit)
    except (ValueError, RecursionError):  # an integer of thousands of digits; a list in itself
        return f"a huge {type(value).__name__}"


def _printable(text: str, limit: int = 60) -> str:
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else f"{text[:limit]}..."


def _text_fits(text: str, where: str) -> str:
    """The text, unless no file can hold it: bytes that are no UTF-8 become lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{where}={_shown(text)} is not UTF-8 text") from None
    return text


def _whole_numbers_fit(value: Any, where: str) -> Any:
    """The value, unless it holds an integer that no file and no device can hold."""
    if isinstance(value, dict):
        for key, below in value.items():
            _text_fits(key, f"{where}, key {_printable(key)}")
            _whole_numbers_fit(below, f"{where}.{_printable(key)}")
    elif isinstance(value, list):
        for i, below in enumerate(value):
            _whole_numbers_fit(below, f"{where}[{i}]")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ConfigError(f"{where}={_shown(value)} is out of range")
    elif isinstance(value, str):
        _text_fits(value, where)
    return value


def group(config: Mapping[str, Any], key: str, where: str = "config") -> dict[str, Any]:
    """A copy of a group of keys that is looked into before it is parsed; empty if there is none.

    Raises:
      ConfigError: the value is no group.
    """
    found = config.get(key, {})
    if not isinstance(found, Mapping | ml_collections.ConfigDict):
        raise ConfigError(f"{where}.{key} must be a group of keys, not {_shown(found)}")
    return _whole_numbers_fit(to_plain(found), f"{where}.{key}")


def to_plain(config: Any) -> Any:
    """ConfigDict, dataclass, tuple -> dict, list and scalars that JSON can hold."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, ml_collections.ConfigDict | Mapping):
        return {str(k): to_plain(config[k]) for k in config}
    if isinstance(config, list | tuple):
        return [to_plain(v) for v in config]
    return config


def dumps(config: Any) -> str:
    """Stable JSON of a resolved config; what checkpoints and golden files hold."""
    return json.dumps(to_plain(config), indent=1, sort_keys=True)


def agree(group: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Fills in what the rest of a config says already.

    Raises:
      ConfigError: the group says something else.
    """
    if group.setdefault(key, value) != value:
        raise ConfigError(
            f"{where}.{key}={group[key]!r} contradicts {value!r}, which the rest of the config "
            "says; leave it out"
        )


def differences(
    stored: dict[str, Any], current: dict[str, Any], may_differ: tuple[str, ...] = ()
) -> list[str]:
    """``key: old -> new`` for every key of two resolved configs that differs.

    Args:
      may_differ: keys, or groups of keys, that are left out: ``mesh``, ``loop.save_every``.
    """
    old, new = _leaves(stored), _leaves(current)
    absent = object()
    return [
        f"{key}: {_show(old.get(key, absent), absent)} -> {_show(new.get(key, absent), absent)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, absent) != new.get(key, absent)
        and not any(key == free or key.startswith(free + ".") for free in may_differ)
    ]


def _leaves(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, dict) or not config:
        return {prefix: config}
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        leaves.update(_leaves(value, f"{prefix}.{key}" if prefix else key))
    return leaves


def _show(value: Any, absent: object) -> str:
    return "(absent)" if value is absent else json.dumps(value)
