"""The site: it builds without a warning, and the reference of the configs is whole."""

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
import typing
from typing import Annotated

import pytest

from medvlp_jax.core.fields import Folder, Range, Size


@pytest.fixture(scope="module")
def reference(repo_root):
    """``docs/config_reference.py``, which is no module of a package."""
    spec = importlib.util.spec_from_file_location(
        "config_reference", repo_root / "docs/config_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclasses.dataclass(frozen=True)
class Inner:
    """A group.

    Attributes:
      size: of it, in
        pixels.
    """

    size: Size = 3


@dataclasses.dataclass(frozen=True)
class Outer(Inner):
    """Another one.

    Attributes:
      inner, many: the group, once
        and often.
      share: a part | a piece.
      Others: see nothing.

    Raises:
      ValueError: never.
    """

    inner: Inner = dataclasses.field(default_factory=lambda: Inner(5))
    many: tuple[Inner, ...] = ()
    share: Annotated[float, Range(0, 1, low_open=True)] | None = None
    place: Folder = ""


def test_a_table_says_type_range_default_and_sentence(reference):
    page = reference.Page("x", "Title", "About.", (reference.Root("config", Outer, "`word`"),))
    text = reference.written(page)
    outer, inner = reference._anchor(Outer), reference._anchor(Inner)
    for line in (
        "Where: `config` (`word`)",
        "| `size` | int ≥ 1 | `3` | of it, in pixels. |",
        f"| `inner` | [Inner](#{inner}) | `size=5` | the group, once and often. |",
        f"| `many` | list of [Inner](#{inner}) | `[]` | the group, once and often. |",
        "| `share` | float above 0, ≤ 1 or None | `None` | a part \\| a piece. |",
        "| `place` | str (a path) | `''` |  |",
        f"## Outer {{: #{outer} }}",
        "Where: `config.inner`; `config.many[0]`",
    ):
        assert line in text.splitlines(), (line, text)


def test_every_key_of_every_config_has_a_sentence(reference):
    assert reference.missing() == []


def test_the_reference_has_every_schema_that_a_config_is_parsed_into(reference):
    from medvlp_jax.eval.config import EvalConfig
    from medvlp_jax.models.registry import MODELS
    from medvlp_jax.tasks.registry import TASKS

    found = {schema for page in reference.pages() for schema in reference.schemas(page)}
    wanted = {m.config for m in MODELS.values()} | {t.config for t in TASKS.values()}
    assert wanted | {EvalConfig} <= found
    assert len(found) >= 70
    for schema in found:
        for hint in typing.get_type_hints(schema, include_extras=True).values():
            assert {inner for inner, _ in reference.nested(hint)} <= found


def test_the_site_builds_without_a_warning(repo_root, tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(repo_root), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
    )
    assert done.returncode == 0, done.stderr
    training = (tmp_path / "reference/config/training.html").read_text(encoding="utf-8")
    assert "peak learning rate" in training
    record = (tmp_path / "reference/data_format.html").read_text(encoding="utf-8")
    assert "content_sha256" in record


def test_files_that_the_pages_name_exist(repo_root):
    names = set()
    for page in [repo_root / "README.md", *(repo_root / "docs").rglob("*.md")]:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        names |= set(
            re.findall(r"`((?:medvlp_jax|data_gen|launch|configs|tests|docs)/[\w./]+)`", text)
        )
    assert len(names) >= 40
    assert sorted(name for name in names if not (repo_root / name).exists()) == []
