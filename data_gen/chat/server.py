"""A bounded client for language-model servers: time, bytes and the key are kept within limits.

Nothing that a server does makes one request last longer than ``timeout`` in all, or hold more than
``max_bytes``. Redirects are never followed, so the key goes to the given host alone (and to the
proxy that ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` name, as other programs do it). What a
server says is printable and without the key before anybody sees it.
"""

import asyncio
import json
import re
from types import TracebackType
from typing import Any

import httpx2

from data_gen.chat.http import PASSING, Secret, client, retry_after
from medvlp_jax.core.errors import UserError, reason

#: Bytes that are read of a refusal, and characters that are shown of it.
_REFUSAL, _SHOWN = 1 << 14, 200
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class PassingTroubleError(Exception):
    """An attempt failed in a way that may pass. ``pause``: seconds the server asked for, or 0."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


def flaw_of(text: str) -> str:
    """Why ``text`` is no plain text, in a few words; empty where it is."""
    if not text:
        return "an empty answer"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "an answer with half of a surrogate pair, which is no text"
    if _CONTROLS.search(text):
        return "an answer with control characters"
    return ""


class Server:
    """Posts JSON to one address; an asynchronous context manager."""

    def __init__(self, url: str, key_variable: str, timeout: float, max_bytes: int) -> None:
        """Args:
          url: address below which paths are asked for.
          key_variable: environment variable with the key; unset or empty sends none.
          timeout: seconds from connecting to the last byte of an answer.
          max_bytes: largest answer.

        Raises:
          UserError: the key, the address or a proxy of the environment cannot be used.
        """
        self.url, self.timeout, self.max_bytes = url.rstrip("/"), timeout, max_bytes
        self.key_variable = key_variable
        self.secret = Secret.of(key_variable)
        headers = {"Content-Type": "application/json"}
        if self.secret.value:
            headers["Authorization"] = f"Bearer {self.secret.value}"
        self._http = client(headers, timeout, self.said, self.url)

    async def __aenter__(self) -> "Server":
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    def said(self, text: str) -> str:
        """One short, printable line without the key."""
        clean = "".join(c if c.isprintable() or c.isspace() else "?" for c in text)
        # First without the key: a cut could leave a part of it.
        return " ".join(self.secret.out_of_start(clean)[: 10 * _SHOWN].split())[:_SHOWN]

    async def post(self, path: str, body: Any) -> bytes:
        """The body of the answer.

        Raises:
          PassingTroubleError: try again.
          UserError: the server refuses for good.
        """
        try:
            async with (
                asyncio.timeout(self.timeout),
                self._http.stream(
                    "POST", self.url + path, content=json.dumps(body).encode()
                ) as response,
            ):
                if not response.is_success:
                    await self._refused(response)
                encoding = response.headers.get("content-encoding", "identity")
                if encoding.lower() not in ("", "identity"):
                    raise PassingTroubleError(
                        f"an answer in {self.said(encoding)!r}, which was not asked for"
                    )
                data, whole = await _read(response, self.max_bytes)
                if not whole:
                    raise PassingTroubleError(f"an answer of more than {self.max_bytes} bytes")
                return data
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise PassingTroubleError(f"no whole answer within {self.timeout:g} s") from error
        except (PassingTroubleError, UserError):
            raise
        except Exception as error:  # broken connections, and answers that are no HTTP
            raise PassingTroubleError(f"no connection: {self.said(reason(error))}") from error

    async def _refused(self, response: httpx2.Response) -> None:
        status = response.status_code
        if 300 <= status < 400:
            raise UserError(
                f"{self.url} redirects (status {status}, to "
                f"{self.said(response.headers.get('location', '')) or 'nowhere'}), which is not "
                "followed, so that the key stays here; put the final address into url"
            )
        data, _ = await _read(response, _REFUSAL)
        words = self.said(data.decode(errors="replace")) or self.said(response.reason_phrase)
        why = f"status {status} ({words})"
        if status in PASSING or status < 200:
            raise PassingTroubleError(why, retry_after(response.headers.get("retry-after", "")))
        hint = {
            401: f"; put the key into the environment variable {self.key_variable}",
            403: f"; put the right key into the environment variable {self.key_variable}",
            404: "; check url (it ends in /v1) and model",
        }.get(status, "")
        raise UserError(f"{self.url} refuses the request: {why}{hint}")


async def _read(response: httpx2.Response, limit: int) -> tuple[bytes, bool]:
    """At most ``limit`` bytes of the body, and whether that is all of it."""
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > limit:
            return bytes(data[:limit]), False
    return bytes(data), True
