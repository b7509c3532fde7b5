"""Asks the services: bounded in time, bytes and attempts, within the rate, with checked digests.

httpx2 in one event loop, which the package needs anyway (:mod:`data_gen.chat.http`): it knows
proxies and certificates as users have them, and one deadline from connecting to the last byte ends
a request whatever the server does. ``http.client`` in threads has a time-out for each read alone,
so a server that sends a byte now and then would hold a thread for ever.
"""

import asyncio
import dataclasses
import hashlib
import time
import urllib.parse
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, BinaryIO

import httpx2

from data_gen.chat.http import PASSING, Secret, client, retry_after
from data_gen.pipelines.pubmed.collect.config import CollectConfig
from data_gen.pipelines.pubmed.collect.items import CollectError
from data_gen.pipelines.pubmed.collect.services.backoff import granted
from data_gen.pipelines.pubmed.collect.services.slots import Slots, shared_folder
from medvlp_jax.core.errors import reason

_SHOWN = 160
#: Raises if an answer is none, such as a page that says with status 200 that the service is busy.
Check = Callable[[bytes], Any]


class AbsentError(CollectError):
    """The service has nothing of that name."""


class RefusedError(CollectError):
    """What the service says or sends will not do, and another attempt would be no better."""


class TooLargeError(RefusedError):
    """More bytes than the limit."""


class GaveUpError(CollectError):
    """Every attempt failed in a way that may pass."""


class LeftAloneError(CollectError):
    """The service asks for a pause that is longer than the config's patience: no run goes on."""


class _PassingError(Exception):
    """An attempt failed. ``asked``: seconds that the service wants to be left alone."""

    def __init__(self, reason: str, asked: float = 0.0) -> None:
        super().__init__(reason)
        self.asked = asked


@dataclasses.dataclass(frozen=True)
class Got:
    """What came: the bytes (none where they went into a file), their number and MD5."""

    data: bytes
    size: int
    md5: str


class Client:
    """Both services; an asynchronous context manager."""

    def __init__(self, config: CollectConfig) -> None:
        """Raises:
        UserError: the key or a proxy of the environment cannot be used.
        """
        self._config, self._pace = config, config.pace
        self.secret = Secret.of(config.key_variable)
        ends, folder = config.endpoints, config.pace.folder
        searches = config.pace.searches or (10.0 if self.secret.value else 3.0)
        self._slots = {
            "search": Slots(shared_folder(ends.search, "search", folder), searches),
            "bucket": Slots(shared_folder(ends.bucket, "bucket", folder), config.pace.files),
        }
        who = {"User-Agent": f"{config.tool} ({config.email})"}
        self._http = client(who, config.pace.timeout, self._said)

    async def __aenter__(self) -> "Client":
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for slots in self._slots.values():
            slots.close()
        await self._http.__aexit__(kind, error, trace)

    async def search(self, query: Mapping[str, str], check: Check) -> bytes:
        """An answer of E-utilities; tool, mail address and key are added."""
        config = self._config
        who = {"tool": config.tool, "email": config.email, "api_key": self.secret.value}
        given = {**query, **{key: value for key, value in who.items() if value}}
        address, limit = config.endpoints.search, config.limits.answer
        return (await self._get("search", address, address, limit, given, check=check)).data

    async def listing(self, query: Mapping[str, str], check: Check) -> bytes:
        """A page of a listing of the bucket."""
        address, limit = self._config.endpoints.bucket, self._config.limits.answer
        what = f"the listing of {query.get('prefix', '')}"
        return (await self._get("bucket", address, what, limit, dict(query), check=check)).data

    async def file(
        self,
        key: str,
        limit: int,
        into: BinaryIO | None = None,
        md5: str = "",
        check: Check | None = None,
    ) -> Got:
        """A file of the bucket.

        Args:
          key: its name there.
          limit: bytes that it may have.
          into: where the bytes go, an empty file; None returns them.
          md5: hexadecimal digest that they must have; "" asks for none.
          check: see :data:`Check`.

        Raises:
          AbsentError: there is none.
          TooLargeError: it is larger than ``limit``.
          RefusedError: the service will not give it.
          GaveUpError: no attempt succeeded.
          LeftAloneError: the service asks for a pause that is too long.
        """
        address = self._config.endpoints.bucket + urllib.parse.quote(key)
        return await self._get("bucket", address, key, limit, {}, into, md5, check)

    async def _get(
        self,
        service: str,
        address: str,
        what: str,
        limit: int,
        query: dict[str, str],
        into: BinaryIO | None = None,
        md5: str = "",
        check: Check | None = None,
    ) -> Got:
        pace, slots = self._pace, self._slots[service]
        key = f"{address}\n{sorted(query.items())}"
        spent, attempt, trouble = 0.0, 0, _PassingError("")
        for attempt in range(pace.attempts):
            if into is not None:
                into.seek(0)
                into.truncate()
            async with slots.request():  # waiting for its turn takes nobody's patience
                began = time.monotonic()
                try:
                    return await self._once(address, what, limit, query, into, md5, check)
                except _PassingError as error:
                    trouble = error
            wait = granted(attempt, key, pace.backoff, pace.longest, trouble.asked)
            spent += time.monotonic() - began + wait
            if trouble.asked > pace.patience:
                raise LeftAloneError(
                    f"{what}: the service wants to be left alone for {trouble.asked:.0f} s, longer "
                    "than config.pace.patience; the same command goes on later"
                )
            if trouble.asked:
                slots.hold(trouble.asked)
            if spent > pace.patience or attempt + 1 == pace.attempts:
                break
            await asyncio.sleep(wait)
        raise GaveUpError(f"{what}: {trouble}, the last of {attempt + 1} attempts")

    async def _once(
        self,
        address: str,
        what: str,
        limit: int,
        query: dict[str, str],
        into: BinaryIO | None,
        md5: str,
        check: Check | None,
    ) -> Got:
        timeout = self._pace.timeout
        try:
            async with (
                asyncio.timeout(timeout),
                self._http.stream("GET", address, params=query or None) as response,
            ):
                if response.status_code != 200:
                    raise await self._trouble(response, what)
                encoding = response.headers.get("content-encoding", "identity")
                if encoding.lower() not in ("", "identity"):
                    raise _PassingError(f"an answer in {self._said(encoding)!r}, not asked for")
                data, size, digest = bytearray(), 0, hashlib.md5(usedforsecurity=False)
                async for chunk in response.aiter_raw():
                    size += len(chunk)
                    if size > limit:
                        raise TooLargeError(f"{what} has more than {limit} bytes")
                    digest.update(chunk)
                    if into is None:
                        data += chunk
                    else:
                        into.write(chunk)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise _PassingError(f"no whole answer within {timeout:g} s") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise _PassingError(f"no whole answer ({self._said(reason(error))})") from error
        found = digest.hexdigest()
        if md5 and found != md5:
            raise _PassingError(f"its MD5 is {found}, not {md5}")
        if check is not None:
            try:
                check(bytes(data))
            except Exception as error:  # whatever a parser thinks of a page that says "busy"
                raise _PassingError(
                    f"an answer of another kind ({self._said(reason(error))})"
                ) from error
        return Got(bytes(data), size, found)

    async def _trouble(self, response: httpx2.Response, what: str) -> Exception:
        """What a status other than 200 means."""
        status = response.status_code
        if status in (404, 410):
            return AbsentError(f"{what}: status {status}, it is not there")
        if status in PASSING or 200 < status < 300:
            return _PassingError(
                f"status {status}", retry_after(response.headers.get("retry-after", ""))
            )
        where = self._said(response.headers.get("location", ""))
        hint = f", to {where}; put the final address into config.endpoints" if where else ""
        return RefusedError(f"{what}: refused with status {status}{hint}")

    def _said(self, text: str) -> str:
        """A service's words as one short line without the key."""
        clean = "".join(c if c.isprintable() else " " for c in text)
        return " ".join(self.secret.out_of_start(clean).split())[:_SHOWN]
