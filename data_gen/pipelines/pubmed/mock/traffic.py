"""What the mock was asked, and how often in any second."""

import dataclasses
import threading
from collections import Counter

from data_gen.pipelines.pubmed.mock.faults import Fault


@dataclasses.dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
      service: "search" or "bucket".
      what: key of the file, or the query, without who asks.
      time: of its arrival, seconds of the monotonic clock.
      query: the whole query.
      fault: how its answer failed, None if it did not.
      wait: seconds that the answer's Retry-After asked for.
    """

    service: str
    what: str
    time: float
    query: dict[str, str]
    fault: Fault | None = None
    wait: float = 0.0


class Traffic:
    """All requests so far; from several threads at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._times: Counter[tuple[str, str]] = Counter()

    def times(self, service: str, what: str) -> int:
        """How often something was asked for before; counts this time too."""
        with self._lock:
            self._times[service, what] += 1
            return self._times[service, what] - 1

    def add(self, request: Request) -> None:
        """Notes a request."""
        with self._lock:
            self._requests.append(request)

    def requests(self, service: str = "") -> list[Request]:
        """Those of a service, or all, by the time of their arrival."""
        with self._lock:
            chosen = [r for r in self._requests if service in ("", r.service)]
        return sorted(chosen, key=lambda request: request.time)

    def faults(self) -> Counter[str]:
        """How many answers failed, by kind."""
        return Counter(r.fault for r in self.requests() if r.fault is not None)

    def busiest(self, service: str, window: float = 1.0) -> int:
        """The most requests in any ``window`` seconds (half open: an exact second apart is two)."""
        times = [request.time for request in self.requests(service)]
        most = first = 0
        for last, time in enumerate(times):
            while time - times[first] >= window:
                first += 1
            most = max(most, last - first + 1)
        return most

    def too_soon(self) -> list[Request]:
        """Requests for something whose last answer asked for a longer pause."""
        until: dict[tuple[str, str], float] = {}
        out = []
        for request in self.requests():
            key = (request.service, request.what)
            if request.time < until.get(key, 0.0):
                out.append(request)
            until[key] = request.time + request.wait
        return out
