"""Errors that a user can mend, and the wrapper that shows them as one line.

Every launch script ends in ``run(main)``. An error whose cause lies with the input, the config or
the machine is raised as :class:`UserError` (or a subclass) with a sentence that names the file,
row or key and the mend; anything else is a defect of the package and keeps its traceback.
"""

import contextlib
import errno
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from absl import app, flags, logging


class UserError(Exception):
    """What the user can mend; the message is a whole sentence and is shown without a traceback."""


@contextlib.contextmanager
def one_net(
    source: object, mend: str, error: type[UserError] = UserError, verb: str = "cannot be read"
) -> Iterator[None]:
    """Turns whatever goes wrong with one input into one ``error`` that names it.

    Parsers of foreign files raise what their authors thought of (``zlib.error``, ``EOFError``,
    ``RecursionError``, ``MemoryError``, ``KeyError`` of JSON in another shape, panics of Rust
    code): a list of exceptions is never complete, so there is none. A :class:`UserError` from
    inside passes unchanged, and so does a full disk, which is no fault of the input.

    Args:
      source: the file or address, as the message names it.
      mend: what the user can do, an imperative: "download it again".
      error: the class that is raised.
      verb: what failed, between the source and the reason.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as cause:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise error(f"{source} {verb} ({reason(cause)}); {mend}") from cause
    except BaseException as cause:
        if type(cause).__name__ != "PanicException":  # of Rust; derived from BaseException
            raise
        raise error(f"{source} {verb} ({reason(cause)}); {mend}") from cause


def reason(error: BaseException, limit: int = 200) -> str:
    """One printable line for an exception: its kind and the first line of its message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = "".join(c if c.isprintable() else "?" for c in lines[0].strip()[:limit]) if lines else ""
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def run(main: Callable[[list[str]], Any]) -> NoReturn:
    """``absl.app.run`` for launch scripts: parses the flags, calls ``main(argv)``, then exits.

    Exit status 0 on success; 2 after a :class:`UserError`, a flag that cannot be used or a full
    disk (one line on stderr); 130 after Ctrl-C; 141 when nobody reads on (``... | head``). Other
    exceptions propagate with their traceback.
    """

    def flushed(argv: list[str]) -> Any:
        status = main(argv)
        sys.stdout.flush()  # while a closed pipe can still be told from a defect
        return status

    try:
        app.run(flushed, flags_parser=_parse_flags)
    except UserError as error:
        _exit(f"error: {error}", 2)
    except BrokenPipeError:
        if not _nobody_reads_stdout():
            raise
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        _exit(f"error: the disk is full{where}; free some space and repeat the command", 2)
    except KeyboardInterrupt as error:
        _exit(str(error) or "stopped", 130)
    sys.exit(0)


def _nobody_reads_stdout() -> bool:
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # what is wrong with it is told unasked
    if not watch.poll(0):
        return False
    # Python flushes once more at its end, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _exit(line: str, status: int) -> NoReturn:
    print(line, file=sys.stderr)
    sys.exit(status)


def _parse_flags(argv: list[str]) -> list[str]:
    try:
        argv = [argv[0], *flags.FLAGS.read_flags_from_files(argv[1:])]
        argv, settings = _settings(argv)
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        raise UserError(f"{' '.join(str(error).split())} (--help lists the flags)") from error
    if len(rest) > 1:
        meant = f"; write --{rest[1]}" if "=" in rest[1] else ""
        raise UserError(f"unexpected argument {rest[1]!r}: every option starts with --{meant}")
    if not flags.FLAGS["verbosity"].present:
        # Orbax reports every read and write at INFO; --verbosity=0 shows that again.
        logging.set_verbosity(logging.WARNING)
    for name, given in settings.items():
        flag: Any = flags.FLAGS[name]
        flag.finish(flag.value, given)
    return rest


def _settings(argv: list[str]) -> tuple[list[str], dict[str, list[tuple[str, str | None]]]]:
    """Takes ``--config.a.b=value`` and ``--config.a.b value`` out of a command line.

    Returns:
      What is left, and for each flag that takes settings (``core.config_flag``) those that were
      given: path and text; the text is None where there is no value.
    """
    found = {name: [] for name in flags.FLAGS if hasattr(flags.FLAGS[name], "finish")}
    names = "|".join(map(re.escape, found)) or "(?!)"
    left, waiting = argv[:1], list(argv[1:])
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            left += [argument, *waiting]
            break
        match = re.fullmatch(rf"--?(no)?({names})([.\[].*)", argument, re.DOTALL)
        if not match:
            left.append(argument)
            continue
        negated, name, rest = match.groups()
        # An = inside of a quoted key is part of it.
        before = re.match(r"(?:\['[^']*'\]|\[\"[^\"]*\"\]|[^=])*", rest)
        assert before is not None  # it matches nothing, too
        path, equals, text = before[0], rest[before.end() :][:1], rest[before.end() + 1 :]
        value: str | None = text if equals else None
        if negated and not equals:
            value = "false"
        elif not equals and waiting and not re.match(r"--?[A-Za-z]", waiting[0]):
            value = waiting.pop(0)
        found[name].append((path, value))
    return left, found
