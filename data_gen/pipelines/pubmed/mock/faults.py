"""Faults by plan: which answers fail, and how, as a pure function of a seed."""

import dataclasses
import hashlib
from typing import Literal, get_args

Fault = Literal[
    "busy", "busy_until", "unavailable", "stall", "truncated", "corrupt", "garbage", "reset"
]
#: *busy*: 429. *busy_until*: 429 with Retry-After. *unavailable*: 503. *stall*: no answer for long.
#: *truncated*: a body that ends early. *corrupt*: one bit of a file is turned, so that its MD5 is
#: wrong. *garbage*: a page for people with status 200. *reset*: the connection breaks off.
FAULTS: tuple[Fault, ...] = get_args(Fault)


@dataclasses.dataclass(frozen=True)
class FaultPlan:
    """Which answers fail.

    Attributes:
      rate: share of the answers.
      seed: another one, other answers.
      kinds: from which each failing answer takes one.
      stall: seconds without an answer.
      retry_after: seconds that Retry-After asks for.
    """

    rate: float = 0.0
    seed: int = 0
    kinds: tuple[Fault, ...] = FAULTS
    stall: float = 5.0
    retry_after: float = 1.0

    def fault(self, what: str, time: int, is_file: bool) -> Fault | None:
        """The fault of one answer, None for none.

        Args:
          what: that is asked for.
          time: how often it was asked for before.
          is_file: whether it is a file whose digest the client can know. Files are not served
            *garbage* and what is no file is never *corrupt*: nobody could tell.
        """
        digest = hashlib.blake2b(f"{self.seed}\n{time}\n{what}".encode(), digest_size=16).digest()
        if int.from_bytes(digest[:8], "big") >= self.rate * 2**64:
            return None
        never: Fault = "garbage" if is_file else "corrupt"
        kinds: list[Fault] = [kind for kind in self.kinds if kind != never]
        return kinds[int.from_bytes(digest[8:], "big") % len(kinds)] if kinds else None
