"""Validation of a config: types, and errors that name the key and the mend."""

import dataclasses
from typing import Any, Literal

import ml_collections
import pytest

from medvlp_jax.core.config import ConfigError, dumps, parse, to_plain


@dataclasses.dataclass(frozen=True)
class Inner:
    width: int = 8
    rate: float = 0.1
    kind: Literal["cosine", "constant"] = "cosine"


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = dataclasses.field(default_factory=Inner)
    many: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (1, "a")
    by_name: dict[str, float] = dataclasses.field(default_factory=dict)
    maybe: int | None = None
    flag: bool = False

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise ValueError("name must not be bad")


def test_parse_everything():
    config = ml_collections.ConfigDict(
        {
            "name": "run",
            "inner": {"width": 16, "rate": 1},
            "many": [{"width": 1}, {"kind": "constant"}],
            "pair": [3, "x"],
            "by_name": {"a": 1, "b": 0.5},
            "maybe": 4,
            "flag": True,
        }
    )
    got = parse(Outer, config)
    assert got == Outer(
        name="run",
        inner=Inner(16, 1.0),
        many=(Inner(1), Inner(kind="constant")),
        pair=(3, "x"),
        by_name={"a": 1.0, "b": 0.5},
        maybe=4,
        flag=True,
    )
    assert isinstance(got.inner.rate, float)
    assert parse(Outer, to_plain(got)) == got  # what a checkpoint holds can be parsed again


def test_placeholders_and_references():
    config = ml_collections.ConfigDict({"name": ml_collections.config_dict.placeholder(str)})
    config.maybe = ml_collections.config_dict.placeholder(int)
    config.name = "x"
    assert parse(Outer, config) == Outer("x")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "x", "iner": {}}, r"config\.iner is not a known key; did you mean config\.inner"),
        ({"name": "x", "inner": {"widht": 1}}, r"config\.inner\.widht .* config\.inner\.width\?"),
        ({"name": "x", "zzz": 1}, "valid: by_name, flag, inner, many, maybe, name, pair"),
        ({}, r"config\.name is missing"),
        ({"name": 3}, r"config\.name=3 must be str, not int"),
        ({"name": "x", "inner": {"width": 1.5}}, r"inner\.width=1\.5 must be int, not float"),
        ({"name": "x", "inner": {"width": True}}, "must be int, not bool"),
        ({"name": "x", "flag": 1}, "must be bool, not int"),
        ({"name": "x", "inner": {"kind": "cosin"}}, "did you mean 'cosine'"),
        ({"name": "x", "inner": 3}, r"config\.inner must be a group of keys, not 3"),
        ({"name": "x", "many": 3}, r"config\.many must be a list"),
        ({"name": "x", "many": [{"width": "a"}]}, r"config\.many\[0\]\.width='a' must be int"),
        ({"name": "x", "pair": [1]}, r"config\.pair must have 2 entries, not 1"),
        ({"name": "x", "by_name": 3}, r"config\.by_name must be a group"),
        ({"name": "x", "maybe": "a"}, r"config\.maybe='a' must be int"),
        ({"name": "bad"}, "config: name must not be bad"),
    ],
)
def test_errors_name_the_key(config, message):
    with pytest.raises(ConfigError, match=message):
        parse(Outer, config)


def test_dumps_is_stable():
    assert dumps(Inner()) == '{\n "kind": "cosine",\n "rate": 0.1,\n "width": 8\n}'
    assert dumps({"b": (1, 2), "a": Inner(1)}) == dumps({"a": Inner(1), "b": [1, 2]})


@pytest.mark.parametrize("hint", [str, Any, dict[str, str], tuple[str, ...], str | None])
def test_text_that_no_file_can_hold(hint):
    """A byte of the command line that is no UTF-8 arrives as a lone surrogate."""
    schema = dataclasses.make_dataclass("Schema", [("a", hint)])
    mapping = hint == dict[str, str]
    bad = {"\udcff": "x"} if mapping else ["\udcff"] if hint == tuple[str, ...] else "x\udcff"
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        parse(schema, {"a": bad})
