"""Ranges of numbers, and that no schema has a number without one."""

import dataclasses
import importlib
import math
import pkgutil
import typing

import pytest

import data_gen
import medvlp_jax
from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.fields import (
    Count,
    Decay,
    Depth,
    Dtype,
    Finite,
    Folder,
    Fraction,
    NonNegative,
    Pattern,
    Positive,
    Range,
    Seed,
    Share,
    Size,
)


@dataclasses.dataclass(frozen=True)
class Numbers:
    size: Size = 1
    count: Count = 0
    depth: Depth = 1
    seed: Seed = 0
    finite: Finite = 0.0
    positive: Positive = 1.0
    rate: NonNegative = 0.0
    fraction: Fraction = 0.0
    share: Share = 1.0
    decay: Decay = 0.0
    maybe: Positive | None = None
    pair: tuple[Fraction, Fraction] = (0.0, 1.0)
    many: tuple[Size, ...] = ()
    by_name: dict[Pattern, NonNegative] = dataclasses.field(default_factory=dict)
    dtype: Dtype = "float32"
    folder: Folder = ""
    pattern: Pattern = ""


@pytest.mark.parametrize(
    "values",
    [
        {"size": 2**31 - 1, "seed": 2**32 - 1, "depth": 1000},
        {"finite": -3.0e38, "positive": 1e-30, "fraction": 1.0, "share": 1e-9, "decay": 0.999},
        {"maybe": None, "pair": [1, 0], "many": [1, 5], "by_name": {"vision/.*": 0}},
        {"folder": "data/ß x", "pattern": "text/(a|b)", "dtype": "bfloat16"},
    ],
)
def test_what_is_allowed(values):
    parse(Numbers, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, r"config\.size=0 must be at least 1$"),
        ({"size": 10**30}, r"config\.size=10+ must be at least 1 and at most 2147483647"),
        ({"count": -1}, "must be at least 0"),
        ({"depth": 10**9}, "at most 1000"),
        ({"seed": 10**5000}, "config.seed=a huge int must be"),
        ({"seed": -1}, "must be at least 0"),
        ({"finite": math.nan}, "must be a finite number$"),
        ({"finite": 1e39}, "must be at most 3.4e"),
        ({"positive": math.inf}, "must be a finite number above 0"),
        ({"positive": 0.0}, "must be above 0"),
        ({"rate": -math.inf}, "must be a finite number at least 0"),
        ({"rate": 10**400}, "must be a finite number"),
        ({"fraction": 1.01}, "must be at least 0 and at most 1"),
        ({"share": 0}, "must be above 0 and at most 1"),
        ({"decay": 1.0}, "must be at least 0 and below 1"),
        ({"maybe": math.nan}, "finite"),
        ({"pair": [0.5, 2.0]}, r"config\.pair\[1\]=2\.0"),
        ({"many": [1, 0]}, r"config\.many\[1\]=0"),
        ({"by_name": {"a": -1.0}}, r"config\.by_name\.a=-1\.0"),
        ({"by_name": {"(": 1.0}}, r"'\(' is not a regular expression"),
        ({"dtype": "float33"}, "did you mean 'float32'"),
        ({"dtype": None}, "must be one of"),
        ({"folder": "gs://bucket/x"}, "mount the bucket"),
        ({"folder": "a\0b"}, "NUL"),
        ({"folder": "a\udcff"}, "not UTF-8"),
        ({"pattern": "["}, "is not a regular expression"),
    ],
)
def test_what_is_refused(values, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse(Numbers, values)
    assert "\n" not in str(caught.value)


def schemas() -> dict[str, type]:
    """Every dataclass that a config file is parsed into, and those in its fields."""
    found: dict[str, type] = {}
    for package in (medvlp_jax, data_gen):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for name, thing in vars(module).items():
                if (
                    isinstance(thing, type)
                    and dataclasses.is_dataclass(thing)
                    and thing.__module__ == info.name
                    and name.endswith("Config")
                ):
                    _with_fields(thing, found)
    return found


def _with_fields(schema: type, found: dict[str, type]) -> None:
    name = f"{schema.__module__}.{schema.__qualname__}"
    if name in found:
        return
    found[name] = schema
    waiting = list(typing.get_type_hints(schema).values())
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            _with_fields(hint, found)
        waiting += typing.get_args(hint)


def bare_numbers(hint: object) -> bool:
    if typing.get_origin(hint) is typing.Annotated:
        base, *checks = typing.get_args(hint)
        return bare_numbers(base) and not any(isinstance(check, Range) for check in checks)
    return hint in (int, float) or any(map(bare_numbers, typing.get_args(hint)))


def test_every_number_of_every_schema_has_a_range():
    found = schemas()
    assert len(found) > 60
    bare = [
        f"{name}.{field}"
        for name, schema in found.items()
        for field, hint in typing.get_type_hints(schema, include_extras=True).items()
        if bare_numbers(hint)
    ]
    assert not bare
