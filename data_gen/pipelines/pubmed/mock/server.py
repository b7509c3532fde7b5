"""Both services on the loopback, in threads of this process."""

import contextlib
import http.server
import json
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from data_gen.pipelines.pubmed.collect.endpoints import Endpoints
from data_gen.pipelines.pubmed.mock.bucket import Bucket, NoSuchKeyError
from data_gen.pipelines.pubmed.mock.faults import Fault, FaultPlan
from data_gen.pipelines.pubmed.mock.library import Library
from data_gen.pipelines.pubmed.mock.search import SearchService
from data_gen.pipelines.pubmed.mock.traffic import Request, Traffic

_SEARCH, _BUCKET = "/entrez/eutils/esearch.fcgi", "/pmc-oa-opendata/"
_WHO = ("tool", "email", "api_key")
_BUSY = b"<!DOCTYPE html><html><body>The service is busy, come back later.</body></html>"
_NO_KEY = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'


class Mock:
    """A library behind both services.

    Attributes:
      endpoints: where they are, for the config of who collects.
      traffic: what was asked.
      faults: which answers fail; may be set while it runs.
    """

    def __init__(self, library: Library, faults: FaultPlan, search_limit: int, port: int) -> None:
        self.traffic, self.faults = Traffic(), faults
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.mock = self
        base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.endpoints = Endpoints(
            search=base + _SEARCH, bucket=base + _BUCKET, search_limit=search_limit
        )
        self.serve(library)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def serve(self, library: Library) -> None:
        """Serves another library from now on, as if articles had come, changed and gone."""
        self.bucket = Bucket(library, self.endpoints)
        self.search = SearchService(library, self.endpoints.search_limit)

    def stop(self) -> None:
        """Ends the services, and whatever they were about to answer."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def serving(
    library: Library,
    faults: FaultPlan | None = None,
    search_limit: int = Endpoints.search_limit,
    port: int = 0,
) -> Iterator[Mock]:
    """Serves ``library`` on the loopback until the context ends.

    Args:
      library: what is served.
      faults: which answers fail; None for none.
      search_limit: ids per query; small ones make small libraries go past it.
      port: 0 for any that is free.
    """
    mock = Mock(library, faults or FaultPlan(), search_limit, port)
    try:
        yield mock
    finally:
        mock.stop()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a stalled answer holds nobody up
    request_queue_size = 256
    mock: Mock

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that break off are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60  # of an idle connection

    def do_GET(self) -> None:
        """One request."""
        now = time.monotonic()
        assert isinstance(self.server, _Server)
        mock = self.server.mock
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        path = urllib.parse.unquote(url.path)
        service = "search" if path == _SEARCH else "bucket"
        key = path.removeprefix(_BUCKET)
        asked = {k: v for k, v in sorted(query.items()) if k not in _WHO}
        what = json.dumps(asked) if service == "search" or not key else key
        is_file = service == "bucket" and bool(key) and not key.startswith("metadata/")
        fault = mock.faults.fault(what, mock.traffic.times(service, what), is_file)
        wait = mock.faults.retry_after if fault == "busy_until" else 0.0
        mock.traffic.add(Request(service, what, now, query, fault, wait))
        if path != _SEARCH and not path.startswith(_BUCKET):
            return self._send(404, _NO_KEY)
        try:
            if service == "search":
                body = mock.search.answer(query)
            else:
                body = mock.bucket.get(key) if key else mock.bucket.listing(query)
        except NoSuchKeyError:
            return self._send(404, _NO_KEY)
        return self._send(200, body) if fault is None else self._fail(mock, fault, body)

    def _fail(self, mock: Mock, fault: Fault, body: bytes) -> None:
        if fault == "busy":
            self._send(429, b"{}")
        elif fault == "busy_until":
            self._send(429, b"{}", {"Retry-After": f"{mock.faults.retry_after:g}"})
        elif fault == "unavailable":
            self._send(503, b"")
        elif fault == "garbage":
            self._send(200, _BUSY)
        elif fault == "corrupt":
            middle = len(body) // 2
            self._send(200, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :])
        elif fault == "truncated":
            self._send(200, body, only=len(body) // 2)
            self.close_connection = True
        else:
            if fault == "stall":
                mock.stopped.wait(mock.faults.stall)
            # Zero seconds to linger: the kernel sends a reset and not a polite end.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, only: int = -1
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if only < 0 else body[:only])
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """The traffic is noted elsewhere."""
