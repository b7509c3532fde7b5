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
        rest = flags.FLAGS(argv)
        for value in flags.FLAGS.flag_values_dict().values():
            # A config file that failed to load answers every attribute with that failure.
            getattr(value, "lock", None)
    except flags.Error as error:
        raise UserError(f"{error} (--help lists the flags)") from error
    except (AttributeError, KeyError, TypeError, OSError) as error:
        text = " ".join(str(error).split())
        missing = re.search(r"No such file or directory: '(.+)'", text)
        if missing:
            raise UserError(f"there is no config file {missing[1]}") from error
        near = re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text)
        bare = re.fullmatch(r"[\"'\\]*(\w+)[\"'\\]*", text)  # a KeyError's own words
        if not near and not bare:
            raise UserError(f"a flag cannot be used: {text}") from error
        wrong = near[2] if near else bare[1] if bare else ""
        given = next((a for a in argv if re.search(rf"\.{wrong}\b", a)), "--config")
        hint = f"; did you mean {near[1]!r}?" if near else ""
        raise UserError(f"{given}: the config has no key {wrong!r}{hint}") from error
    except Exception as error:  # ml_collections parses keys as Python code
        keys = (arg.partition("=")[0] for arg in argv if arg.startswith("--"))
        odd = next((key for key in keys if re.search(r"[^\w.]|\.\d", key[2:])), "")
        usable = re.sub(r"\.(?=\d)", "._", re.sub(r"[^\w.]+", "_", odd.removeprefix("--")))
        hint = f"write --{usable}= (a column's name is found by that)" if odd else reason(error)
        raise UserError(
            f"flag {odd} cannot be used: keys are letters, digits and underscores; {hint}"
        ) from error
    if not flags.FLAGS["verbosity"].present:
        # Orbax reports every read and write at INFO; --verbosity=0 shows that again.
        logging.set_verbosity(logging.WARNING)
    return rest
