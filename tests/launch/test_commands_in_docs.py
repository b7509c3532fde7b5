"""Commands of README and docs/ as a newcomer pastes them: into bash or zsh, in a fresh clone."""

import itertools
import re
import shutil
import subprocess
import sys

import pytest
from absl import flags
from ml_collections import config_flags

#: A variable that is set for one command.
SETS = re.compile(r"[A-Z_]+=.*")
#: Answers a command of the README with its words, one a line.
SHOW = 'show() { printf "%s\\n" "$@"; }\n'


def commands(readme: str) -> list[str]:
    """Commands of the ``bash`` blocks; those that go over several lines as one."""
    blocks = re.findall(r"^```bash\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line]


def words(shell: list[str], command: str) -> list[str]:
    done = subprocess.run(
        [*shell, SHOW + "show " + command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{shell[0]}: {command}\n{done.stderr}"
    return done.stdout.splitlines()


def program(command: str) -> list[str]:
    """Words of a command without variables that are set in front of it."""
    return list(itertools.dropwhile(SETS.fullmatch, words(["bash", "-c"], command)))


@pytest.fixture(scope="module")
def pages(repo_root) -> dict[str, str]:
    """README and every page of docs/ that has commands, by path."""
    found = [repo_root / "README.md", *sorted((repo_root / "docs").rglob("*.md"))]
    texts = {p.relative_to(repo_root).as_posix(): p.read_text(encoding="utf-8") for p in found}
    return {name: text for name, text in texts.items() if commands(text)}


@pytest.fixture(scope="module")
def lines(pages) -> list[str]:
    return list(dict.fromkeys(line for text in pages.values() for line in commands(text)))


def test_the_readme_is_short_and_begins_with_the_quickstart(repo_root):
    readme = (repo_root / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert commands(readme)[0] == "bash launch/quickstart.sh"


def test_links_of_the_readme_lead_somewhere(repo_root):
    readme = (repo_root / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", readme)
    assert len(links) >= 10
    assert [link for link in links if not (repo_root / link).is_file()] == []


def test_commands_have_no_comments(pages, lines):
    """An interactive zsh takes ``#`` for a command, and an apostrophe behind it for a quote."""
    assert len(commands(pages["README.md"])) >= 15
    assert len(lines) >= 35
    assert [line for line in lines if "#" in line] == []


def test_zsh_reads_every_command_as_bash_does(lines):
    if shutil.which("zsh") is None:
        pytest.skip("no zsh here")
    for command in lines:
        assert words(["zsh", "-f", "-c"], command) == words(["bash", "-c"], command)


def test_python_is_that_of_the_environment(lines, repo_root):
    """A command that begins with a bare ``python`` runs without the package."""
    for command in lines:
        first, second, *_ = program(command)
        assert first in (".venv/bin/python", "bash", "sbatch", "docker", "kubectl"), command
        if first in (".venv/bin/python", "bash") and second != "-m":
            assert (repo_root / second).is_file(), command


def test_files_that_a_command_names_exist(lines, repo_root):
    seen = 0
    for command in lines:
        for name in re.findall(r"(?:^|[ =])((?:launch|configs)/[\w/]+(?:\.\w+)?)", command):
            assert (repo_root / name).is_file(), command
            seen += 1
    assert seen >= 60


def test_configs_and_their_keys_exist(lines, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    seen = 0
    for command in lines:
        given = [w for w in program(command) if re.match(r"--config[.=]", w)]
        if not given:
            continue
        free = any(f"{name}.py" in command for name in ("sample", "generate", "evaluate"))
        # The library looks there for the keys that need a flag.
        monkeypatch.setattr(sys, "argv", ["program", *given])
        values = flags.FlagValues()
        holder = config_flags.DEFINE_config_file(
            "config", lock_config=not free, accept_new_attributes=free, flag_values=values
        )
        values(sys.argv)
        assert values[holder.name].value is not None
        seen += 1
    assert seen >= 20
