"""The layout of the packages: no circle of files, no loose module, no room that is too full."""

import ast
import pathlib
from collections.abc import Iterable

import pytest

PACKAGES = ("medvlp_jax", "data_gen")
#: Python files of one folder, ``__init__`` apart.
ROOM = 18
#: Rooms that may be fuller, and why.
FULLER = {"medvlp_jax/weights/tables": "one short file for each published layout, all of one form"}


def modules(root: pathlib.Path, packages: Iterable[str]) -> dict[str, pathlib.Path]:
    """Module name -> file; a package stands for its ``__init__``."""
    found = {}
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(name: str, file: pathlib.Path, known: Iterable[str]) -> set[str]:
    """The known modules that a file imports by name, also inside of its functions.

    ``from package import submodule`` is an import of the submodule; the ``__init__`` files that
    Python runs on the way are not counted.
    """
    known, found = set(known), set()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in known else base)
    return found & known - {name}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that all reach one another, largest first; a module alone is none."""
    below = {name: _reached(name, graph) for name in graph}
    groups = {
        tuple(sorted({name} | {other for other in below[name] if name in below[other]}))
        for name in graph
    }
    return sorted((list(g) for g in groups if len(g) > 1), key=lambda g: (-len(g), g))


def _reached(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen, waiting = set(), [start]
    while waiting:
        for name in graph[waiting.pop()] - seen:
            seen.add(name)
            waiting.append(name)
    return seen


def graph_of(root: pathlib.Path, packages: Iterable[str] = PACKAGES) -> dict[str, set[str]]:
    found = modules(root, packages)
    return {name: imports(name, file, found) for name, file in found.items()}


def loose(root: pathlib.Path, packages: Iterable[str] = PACKAGES) -> list[str]:
    """Files that lie directly in a package and belong into a room."""
    allowed = {"__init__.py", "py.typed", "__pycache__"}
    return sorted(
        f"{package}/{entry.name}"
        for package in packages
        for entry in (root / package).iterdir()
        if entry.is_file() and entry.name not in allowed
    )


def full(root: pathlib.Path, packages: Iterable[str] = PACKAGES, limit: int = ROOM) -> list[str]:
    """Folders with more than ``limit`` Python files of their own."""
    counts: dict[str, int] = {}
    for file in modules(root, packages).values():
        if file.name != "__init__.py":
            room = file.parent.relative_to(root).as_posix()
            counts[room] = counts.get(room, 0) + 1
    return sorted(f"{room}: {count} files" for room, count in counts.items() if count > limit)


def test_no_circle_of_files(repo_root):
    assert circles(graph_of(repo_root)) == []


def test_no_module_stands_outside_of_the_rooms(repo_root):
    assert loose(repo_root) == []


def test_no_room_is_too_full(repo_root):
    found = full(repo_root)
    assert [line for line in found if line.split(":")[0] not in FULLER] == []
    assert len(found) == len(FULLER), "a room of FULLER is not too full any more"


@pytest.fixture
def planted(tmp_path):
    """A package without a circle; tests plant theirs."""

    def write(**files: str) -> pathlib.Path:
        for name, text in files.items():
            path = tmp_path / "house" / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            for folder in path.parent.relative_to(tmp_path).parents:
                (tmp_path / folder).mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
        (tmp_path / "house" / "__init__.py").touch()
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("forth", "back"),
    [
        ("from house.room.b import thing", "from house.room.a import other"),
        ("import house.room.b", "import house.room.a as first"),
        ("from house.room import b", "from house.room import a"),
        ("from . import b", "from .a import other"),
        ("from ..room import b", "from ..room.a import other"),
        ("from house.room import b", "def late():\n    from house.room.a import other"),
        ("if True:\n    from house.room import b", "class A:\n    import house.room.a"),
    ],
)
def test_a_planted_circle_is_found(planted, forth, back):
    root = planted(room__a=forth, room__b=back, room__c="from house.room import a, b")
    assert circles(graph_of(root, ["house"])) == [["house.room.a", "house.room.b"]]


def test_a_long_circle_is_one_group_and_two_are_two(planted):
    root = planted(
        one__a="import house.two.b", two__b="import house.two.c", two__c="import house.one.a",
        one__x="import house.one.y", one__y="import house.one.x",
    )  # fmt: skip
    assert circles(graph_of(root, ["house"])) == [
        ["house.one.a", "house.two.b", "house.two.c"],
        ["house.one.x", "house.one.y"],
    ]


def test_a_package_that_offers_what_imports_it_is_a_circle(planted):
    root = planted(room__a="from house.room import thing")
    (root / "house/room/__init__.py").write_text("from house.room.a import other as thing")
    assert circles(graph_of(root, ["house"])) == [["house.room", "house.room.a"]]


def test_what_only_runs_down_is_no_circle(planted):
    root = planted(a__a="import house.b.b\nimport os", b__b="from house.b import c", b__c="x = 1")
    assert circles(graph_of(root, ["house"])) == []


def test_a_loose_module_and_a_full_room_are_found(planted):
    root = planted(loose="x = 1", room__a="", room__b="", room__c="")
    assert loose(root, ["house"]) == ["house/loose.py"]
    assert full(root, ["house"], limit=2) == ["house/room: 3 files"]
    assert full(root, ["house"], limit=3) == []
