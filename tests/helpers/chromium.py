"""A headless Chromium over the DevTools protocol, through two pipes: no driver, no other library.

Pages are opened, filled in, measured and photographed. Tests skip where there is no Chromium.
"""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import tempfile
import time
from typing import Any

import pytest

#: What measures a page: texts outside of their picture, texts on each other, what is cut off.
MEASURE = (pathlib.Path(__file__).parent / "measure.js").read_text(encoding="utf-8")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--no-first-run", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars=false",
    "--remote-debugging-pipe",
)  # fmt: skip


def executable() -> str:
    """The browser on PATH; skips the test where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on PATH (on Debian and Ubuntu: apt-get install chromium)")


def _high(pipe: tuple[int, int]) -> tuple[int, ...]:
    """The same pipe with numbers that leave 3 and 4 free."""
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pipe)
    for end in pipe:
        os.close(end)
    return moved


class Chromium:
    """One browser with one tab; use it in ``with``."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True)
        # The browser reads commands from 3 and answers on 4.
        (read, self._to), (self._from, write) = _high(os.pipe()), _high(os.pipe())
        actions = [(os.POSIX_SPAWN_DUP2, read, 3), (os.POSIX_SPAWN_DUP2, write, 4)]
        actions += [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        command = [executable(), *_FLAGS, f"--user-data-dir={self._home.name}"]
        self._process = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        os.close(read)
        os.close(write)
        self._number, self._rest, self.events = 0, b"", []
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        with contextlib.suppress(RuntimeError, OSError):
            self.call("Browser.close")
        end = time.monotonic() + 10
        while not os.waitpid(self._process, os.WNOHANG)[0]:
            if time.monotonic() > end:
                os.kill(self._process, signal.SIGKILL)
                os.waitpid(self._process, 0)
                break
            time.sleep(0.05)
        os.close(self._to)
        os.close(self._from)
        self._home.cleanup()

    def call(self, method: str, seconds: float = 60, **params: Any) -> dict[str, Any]:
        """A command of the protocol and its answer; events on the way are kept in ``events``."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        end = time.monotonic() + seconds
        while True:
            answer = self._next(end)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready = select.select([self._from], [], [], max(0.0, end - time.monotonic()))[0]
            chunk = os.read(self._from, 1 << 16) if ready else b""
            if not chunk:
                raise RuntimeError("Chromium does not answer")
            self._rest += chunk
        line, self._rest = self._rest.split(b"\0", 1)
        return json.loads(line)

    def open(self, url: str, *, width: int = 1300, height: int = 900, dark: bool = False) -> None:
        """Goes to a page and waits until it is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait(f"location.href != 'about:blank' && document.readyState == 'complete' "
                  f"&& location.href.startsWith({json.dumps(url.split('#')[0])})")  # fmt: skip

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script[:80]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 60) -> None:
        """Until the expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"!!({script})"):
            if time.monotonic() > end:
                raise RuntimeError(f"never true: {script}")
            time.sleep(0.1)

    def give_file(self, selector: str, path: pathlib.Path) -> None:
        """Puts a file into an ``<input type=file>``."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def asked(self) -> list[str]:
        """The addresses that pages have asked for."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [e["params"]["request"]["url"] for e in sent]

    def picture(self, path: pathlib.Path, *, whole: bool = True) -> None:
        """A screenshot as PNG, of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def measure(self) -> dict[str, Any]:
        """What ``measure.js`` finds wrong with the page as it is shown now; lists of sentences."""
        return self.run(MEASURE)
