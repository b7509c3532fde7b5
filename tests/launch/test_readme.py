"""The README's commands as a newcomer pastes them: into bash or zsh, in a fresh clone."""

import re
import shutil
import subprocess
import sys

import pytest
from absl import flags
from ml_collections import config_flags

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


@pytest.fixture(scope="module")
def readme(repo_root) -> str:
    return (repo_root / "README.md").read_text()


def test_commands_have_no_comments(readme):
    """An interactive zsh takes ``#`` for a command, and an apostrophe behind it for a quote."""
    assert len(commands(readme)) >= 20
    assert [line for line in commands(readme) if "#" in line] == []


def test_zsh_reads_every_command_as_bash_does(readme):
    if shutil.which("zsh") is None:
        pytest.skip("no zsh here")
    for command in commands(readme):
        assert words(["zsh", "-f", "-c"], command) == words(["bash", "-c"], command)


def test_python_is_that_of_the_environment(readme, repo_root):
    """A command that begins with a bare ``python`` runs without the package."""
    for command in commands(readme):
        first, script, *_ = words(["bash", "-c"], command)
        assert first in (".venv/bin/python", "bash"), command
        assert (repo_root / script).is_file(), command


def test_configs_and_their_keys_exist(readme, repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    seen = 0
    for command in commands(readme):
        given = [w for w in words(["bash", "-c"], command) if re.match(r"--config[.=]", w)]
        if not given:
            continue
        free = "sample.py" in command or "generate.py" in command
        # The library looks there for the keys that need a flag.
        monkeypatch.setattr(sys, "argv", ["program", *given])
        values = flags.FlagValues()
        holder = config_flags.DEFINE_config_file(
            "config", lock_config=not free, accept_new_attributes=free, flag_values=values
        )
        values(sys.argv)
        assert values[holder.name].value is not None
        seen += 1
    assert seen >= 15
