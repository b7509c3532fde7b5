"""What a launch script says when something goes wrong."""

import errno
import subprocess
import sys

import pytest
from absl import app

from medvlp_jax.core import errors
from medvlp_jax.core.config import ConfigError


def finish(monkeypatch, capsys, error: BaseException | None) -> tuple[int, str]:
    def fake_run(main, flags_parser):
        del flags_parser
        if error is not None:
            raise error
        main([])

    monkeypatch.setattr(app, "run", fake_run)
    with pytest.raises(SystemExit) as end:
        errors.run(lambda argv: None)
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (None, 0, ""),
        (errors.UserError("row 3 of x.csv is empty"), 2, "error: row 3 of x.csv is empty\n"),
        (ConfigError("config.a is wrong"), 2, "error: config.a is wrong\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (KeyboardInterrupt("stopped: 3 of 4 shards"), 130, "stopped: 3 of 4 shards\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/x"),
            2,
            "error: the disk is full while writing /data/x; free some space and repeat the "
            "command\n",
        ),
    ],
)
def test_known_ends_are_one_line(monkeypatch, capsys, error, status, line):
    assert finish(monkeypatch, capsys, error) == (status, line)


@pytest.mark.parametrize("error", [ValueError("a defect"), OSError(errno.EIO, "broken")])
def test_defects_keep_their_traceback(monkeypatch, error):
    def fail(main, flags_parser):
        raise error

    monkeypatch.setattr(app, "run", fail)
    with pytest.raises(type(error)) as caught:
        errors.run(lambda argv: None)
    assert caught.value is error


@pytest.mark.parametrize("lines", [2, 100_000])
def test_a_reader_that_leaves_is_no_error(lines):
    program = (
        f"from medvlp_jax.core import errors; errors.run(lambda _: print('line\\n' * {lines}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
