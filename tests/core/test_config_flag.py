"""Config files and changes to them from a command line."""

import dataclasses
from typing import Any, Literal

import pytest

from medvlp_jax.core.config import ConfigError, parse
from medvlp_jax.core.config_flag import ConfigFlag, load_config, split_path
from medvlp_jax.core.fields import NonNegative, Size


@dataclasses.dataclass(frozen=True)
class Part:
    path: str = ""
    weight: NonNegative | None = None


@dataclasses.dataclass(frozen=True)
class Deep:
    steps: Size = 1
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()


@dataclasses.dataclass(frozen=True)
class Schema:
    name: str = ""
    lr: NonNegative = 0.1
    flag: bool = False
    clip: NonNegative | None = 1.0
    deep: Deep = dataclasses.field(default_factory=Deep)
    parts: tuple[Part, ...] = ()
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    where: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    free: dict[str, Any] = dataclasses.field(default_factory=dict)


FILE = """
import ml_collections
def get_config(word="x"):
    c = ml_collections.ConfigDict(
        {"name": word, "lr": 0.5, "free": {"width": 8}, "parts": ({"path": "p"},)})
    c.free.lr = c.get_ref("lr")
    return c
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(FILE)
    return str(path)


def given(file: str, *settings: tuple[str, str | None]) -> Schema:
    flag = ConfigFlag("config", lambda _: Schema)
    flag.finish(file, settings)
    return parse(Schema, flag.value)


@pytest.mark.parametrize(
    ("path", "text", "key", "value"),
    [
        (".lr", "1", "lr", 1.0),
        (".clip", "None", "clip", None),  # the file does not mention it
        (".clip", "2e-3", "clip", 0.002),
        (".name", "5", "name", "5"),
        (".name", "None", "name", "None"),
        (".flag", None, "flag", True),
        (".flag", "false", "flag", False),
        (".deep.steps", "7", "deep", Deep(steps=7)),
        (".deep.kind", "b", "deep", Deep(kind="b")),
        (".deep.names", "a b", "deep", Deep(names=("a b",))),
        (".deep.names", "('a', 'b')", "deep", Deep(names=("a", "b"))),
        (".deep.names", "1,2", "deep", Deep(names=("1", "2"))),
        (".deep.names", "", "deep", Deep()),
        (".deep.sizes", "3", "deep", Deep(sizes=(3,))),
        (".deep.sizes", "[3, 4]", "deep", Deep(sizes=(3, 4))),
        (".parts[0].weight", "2", "parts", (Part("p", 2.0),)),
        (".parts[1].path", "q", "parts", (Part("p"), Part("q"))),
        (".columns.report-text", "findings", "columns", {"report-text": "findings"}),
        (".columns.a b/c", "x", "columns", {"a b/c": "x"}),
        (".columns.a.b", "x", "columns", {"a.b": "x"}),
        (".columns.Größe [mm]", "x", "columns", {"Größe [mm]": "x"}),
        (".columns['a=b.c[0]']", "x", "columns", {"a=b.c[0]": "x"}),
        (".columns.Effusion", "1", "columns", {"Effusion": "1"}),
        (".where.group", "('a',)", "where", {"group": ("a",)}),
        (".free.width", "16", "free", {"width": 16, "lr": 0.5}),
        (".free.tower.init", "a/b", "free", {"width": 8, "lr": 0.5, "tower": {"init": "a/b"}}),
        (".free.new", "(1, 'x')", "free", {"width": 8, "lr": 0.5, "new": [1, "x"]}),
    ],
)
def test_a_setting_becomes_what_the_schema_asks_for(file, path, text, key, value):
    assert getattr(given(file, (path, text)), key) == value


def test_references_follow_and_lists_gather(file):
    config = given(file, (".lr", "2"), (".deep.names", "a"), (".deep.names", "b"), (".lr", "3"))
    assert (config.lr, config.free["lr"], config.deep.names) == (3.0, 3.0, ("a", "b"))


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (".lr", "fast", r"config\.lr='fast' must be float"),
        (".lr", "nan", "must be a finite number"),
        (".deep.steps", "1.5", r"config\.deep\.steps='1.5' must be int"),
        (".deep.stps", "1", r"did you mean config\.deep\.steps\?"),
        (".deep.kind", "c", "must be one of"),
        (".flag", "maybe", "must be bool"),
        (".lr", None, "--config.lr needs a value"),
        (".lr.x", "1", r"--config\.lr\.x: config\.lr is 0\.5, which has no 'x'"),
        (".parts[7].path", "x", "is a list of 1, which has no 7"),
        (".parts.path", "x", "is a list of 1, which has no 'path'"),
        ("..lr", "1", "write --config.GROUP.KEY=VALUE"),
        (".", "1", "write --config.GROUP.KEY=VALUE"),
        (".deep", "word", "must be a group of keys"),
        (".parts", "(1,)", r"config\.parts\[0\] must be a group of keys"),
    ],
)
def test_what_is_wrong_is_one_line(file, path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        given(file, (path, text))
    assert "\n" not in str(caught.value)


def test_paths():
    assert split_path(".a.b[0]['c d'][\"e.f\"].g") == ("a", "b", 0, "c d", "e.f", "g")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"def get_config(:", r"cannot be used as a config \(SyntaxError"),
        (b"import nothing_of_this_name", "ModuleNotFoundError"),
        (b"def get_config(): raise RuntimeError('a\\nb')", "RuntimeError: a"),
        (b"def get_config(): return get_config()", "RecursionError"),
        (b"def get_config(): raise SystemExit(0)", "ends the program"),
        (b"def get_config(): return 3", "gives int, not a ConfigDict"),
        (b"x = 1", "no function get_config"),
        (b"\0", "cannot be used as a config"),
        (b"\xff\xfe = 1", "cannot be used as a config"),
    ],
)
def test_files_that_are_no_config(tmp_path, text, message):
    path = tmp_path / "c.py"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_files(tmp_path, file):
    for name, message in (
        (str(tmp_path / "none.py"), "there is no config file"),
        (str(tmp_path), "is a folder"),
        ("/dev/null", "is a folder or device"),
        ("", "there is no config file|is a folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(name)
    assert load_config(f"{file}:word").name == "word"
    (tmp_path / "none.py").write_text("def get_config(): return {'a': 1}")
    with pytest.raises(ConfigError, match="takes nothing behind a colon"):
        load_config(f"{tmp_path}/none.py:word")
    assert load_config(f"{tmp_path}/none.py").a == 1
