"""How often a service is asked: a limit that holds over all threads and processes of a machine.

A token bucket whose tokens are files. Who wants to send a request locks one; the token counts as
back one second after the *answer* came, not after the request was sent. So of any ``n + 1``
requests the last is sent at least a second after one of the others was answered, and the service
itself, whatever the network and the scheduler delay, never sees more than ``n`` in one second.
Buckets that space out the moments of sending cannot promise that.

Locks are the kernel's: it gives back those of a process that was killed. Tokens lie in one folder
per service and user, so two runs that know nothing of each other share them too.
"""

import asyncio
import contextlib
import fcntl
import math
import os
import pathlib
import re
import struct
import tempfile
import time
from collections.abc import AsyncIterator

from data_gen.pipelines.pubmed.collect.items import CollectError

_TIME = struct.Struct("<d")
_BUSY = math.inf  # in the file of a token that is out
_HOLD = "hold"


def shared_folder(address: str, service: str, folder: str = "") -> pathlib.Path:
    """Where the tokens for a service lie: below ``folder``, or the user's folder for such files.

    Args:
      address: of the service; its host has tokens of its own.
      service: a word for it: several may have one host.
      folder: see :class:`data_gen.pipelines.pubmed.collect.config.Pace`.

    Raises:
      CollectError: the folder cannot be made, or belongs to somebody else.
    """
    host = re.sub(r"[^A-Za-z0-9.-]+", "_", address.split("://")[-1].split("/")[0])
    # Named by the user: in a folder for temporary files anybody may have made it before.
    base = pathlib.Path(folder or f"{tempfile.gettempdir()}/medvlp_jax-rate-{os.getuid()}")
    mend = "set config.pace.folder to a folder of your own"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not folder and base.stat().st_uid != os.getuid():
            raise CollectError(f"{base} belongs to another user; {mend}")
        (base / host / service).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CollectError(f"{base} cannot hold the rate ({error.strerror}); {mend}") from error
    return base / host / service


class Slots:
    """Tokens for one service. Belongs to one event loop; other processes have their own instance.

    Times are of the monotonic clock, which all processes of a machine share.
    """

    def __init__(self, folder: pathlib.Path, rate: float) -> None:
        """Args:
        folder: where the tokens lie, see :func:`shared_folder`.
        rate: requests in any second; below 1, one request in ``1 / rate`` seconds.
        """
        self._folder = folder
        self._count, self._window = max(1, int(rate)), max(1.0, 1 / rate)
        self._files: dict[str, int] = {}
        self._busy: set[int] = set()
        self._next, self._wait = 0, 0.0
        self._turn = asyncio.Lock()  # one waits, the others queue behind it

    @contextlib.asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Waits for a token and holds it until the answer is there, or there will be none."""
        async with self._turn:
            while (token := self._take()) < 0:
                await asyncio.sleep(self._wait)
        try:
            yield
        finally:
            self._give(token)

    def hold(self, seconds: float) -> None:
        """Nobody asks the service for so long: it said so."""
        file = self._open(_HOLD)
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            until = time.monotonic() + seconds
            if until > self._read(file):
                os.pwrite(file, _TIME.pack(until), 0)
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives back every token."""
        for token in tuple(self._busy):
            self._give(token)
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _take(self) -> int:
        """The number of a free token, now locked; or -1, and ``_wait`` says when to look again."""
        now = time.monotonic()
        held = self._read(self._open(_HOLD)) - now
        if 0 < held < 86400:  # longer: from before the machine was started anew
            self._wait = held
            return -1
        soonest = now + self._window  # when one that is out now can be back
        for step in range(self._count):
            token = (self._next + step) % self._count
            if token in self._busy:
                continue
            file = self._open(str(token))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            back = self._read(file)
            if back > now + self._window:
                # Its holder died while it was out, or the clock began anew.
                back = now + self._window
                os.pwrite(file, _TIME.pack(back), 0)
            if back <= now:
                os.pwrite(file, _TIME.pack(_BUSY), 0)
                self._busy.add(token)
                self._next = token + 1  # the one that is back for the longest
                return token
            fcntl.flock(file, fcntl.LOCK_UN)
            soonest = min(soonest, back)
        self._wait = soonest - now
        return -1

    def _give(self, token: int) -> None:
        file = self._files[str(token)]
        os.pwrite(file, _TIME.pack(time.monotonic() + self._window), 0)
        fcntl.flock(file, fcntl.LOCK_UN)
        self._busy.discard(token)

    def _open(self, name: str) -> int:
        if name not in self._files:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                self._files[name] = os.open(self._folder / name, flags, 0o600)
            except OSError as error:
                raise CollectError(
                    f"{self._folder / name} cannot be opened ({error.strerror}); set "
                    "config.pace.folder to a folder of your own"
                ) from error
        return self._files[name]

    def _read(self, file: int) -> float:
        raw = os.pread(file, _TIME.size, 0)
        return _TIME.unpack(raw)[0] if len(raw) == _TIME.size else -math.inf
