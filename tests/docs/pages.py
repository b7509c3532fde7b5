"""The pages of ``docs/how_to`` as what a reader would do: files written and changed in a copy."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

from quick_flags import QUICK

_BLOCK = re.compile(
    r'^```(?P<kind>python|diff) title="(?P<file>[^"]+)"\n(?P<text>.*?)^```$', re.M | re.S
)
_BASH = re.compile(r"^```bash\n(.*?)^```$", re.M | re.S)
_WORDS = {"Two": 2, "Three": 3, "Four": 4}
#: What the commands of a page need of a checkout.
PARTS = ("medvlp_jax", "data_gen", "configs", "launch", "pyproject.toml")


class Block(NamedTuple):
    kind: str
    file: str
    text: str


class Page:
    """A how-to: its blocks, the number of files that it promises, and its commands."""

    def __init__(self, file: pathlib.Path):
        text = file.read_text(encoding="utf-8")
        self.blocks = [Block(*found.groups()) for found in _BLOCK.finditer(text)]
        self.files = sorted({block.file for block in self.blocks})
        said = re.search(rf"^({'|'.join(_WORDS)}) files", text, re.M)
        assert said is not None, f"{file} does not say how many files it takes"
        self.promised = _WORDS[said[1]]
        lines = "\n".join(_BASH.findall(text)).replace("\\\n", " ").splitlines()
        self.commands = [line for line in lines if line]

    def apply(self, root: pathlib.Path) -> None:
        """Writes the page's files into a copy of the repository, and makes its changes there."""
        for block in self.blocks:
            path = root / block.file
            if block.kind == "python":
                assert not path.exists(), f"{block.file} is there already"
                path.write_text(block.text, encoding="utf-8")
            else:
                path.write_text(patched(path.read_text(encoding="utf-8"), block), encoding="utf-8")


def patched(text: str, block: Block) -> str:
    """``text`` with the change of a diff whose context stands in it exactly once."""
    lines = block.text.splitlines(keepends=True)
    assert all(line[0] in " +-" for line in lines), block
    before = "".join(line[1:] for line in lines if line[0] != "+")
    after = "".join(line[1:] for line in lines if line[0] != "-")
    found = len(re.findall(f"(?={re.escape(chr(10) + before)})", text))
    assert found == 1, (
        f"{block.file}: the context of this change stands there {found} times:\n{before}"
    )
    return text.replace("\n" + before, "\n" + after)


class Copy:
    """A copy of the repository in a folder, and programs run in it."""

    def __init__(self, repository: pathlib.Path, folder: pathlib.Path):
        self.root = folder
        for name in PARTS:
            source, target = repository / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)

    def run(self, command: list[str], **variables: str) -> str:
        """What the command says; it must end well."""
        environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "XLA_FLAGS": QUICK,
        }
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def python(self, code: str) -> str:
        return self.run([sys.executable, "-c", code])

    def shown(self, command: str, changes: dict[str, str], *more: str) -> str:
        """A command of a page with this interpreter, other words for its own, and more flags."""
        first, *words = shlex.split(command)
        assert first == ".venv/bin/python"
        for old, new in changes.items():
            assert any(old in word for word in words), f"{old} is not in {command}"
            words = [word.replace(old, new) for word in words]
        return self.run([sys.executable, *words, *more])
