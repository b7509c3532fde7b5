"""Types for the fields of config schemas: numbers with their range, dtypes, folders, patterns.

A schema says ``lr: NonNegative = 1e-3``; :func:`medvlp_jax.core.config.parse` asks the checks that
stand behind the type. Every number of every schema has one of these types (a test sees to it).
"""

import dataclasses
import math
import re
from typing import Annotated, Literal, Protocol, TypeAlias

#: What counters on the device can hold.
INT32 = 2**31 - 1
#: The largest number that float32 holds (3.4028e38), rounded down.
FLOAT32 = 3.4e38


class Check(Protocol):
    """Metadata of an ``Annotated`` type."""

    def complaint(self, value: object) -> str:
        """What is wrong with a value of the right type, behind "key=value "; empty if nothing."""
        ...


@dataclasses.dataclass(frozen=True)
class Range:
    """Finite numbers from ``low`` to ``high``; the ends belong to it unless they are open."""

    low: float = -FLOAT32
    high: float = FLOAT32
    low_open: bool = False
    high_open: bool = False

    def complaint(self, value: object) -> str:
        assert isinstance(value, int | float)
        finite = isinstance(value, int) or math.isfinite(value)
        low = value <= self.low if self.low_open else value < self.low
        high = value >= self.high if self.high_open else value > self.high
        if finite and not low and not high:
            return ""
        ends = []
        if self.low > (-math.inf if low else -FLOAT32):
            ends.append(f"{'above' if self.low_open else 'at least'} {self.low:.10g}")
        if self.high < (math.inf if high else INT32):
            ends.append(f"{'below' if self.high_open else 'at most'} {self.high:.10g}")
        number = "" if finite else "a finite number "
        return f"must be {number}{' and '.join(ends)}".rstrip()


class Compiles:
    """Regular expressions."""

    def complaint(self, value: object) -> str:
        try:
            re.compile(str(value))
        except (re.error, RecursionError, OverflowError) as error:
            return f"is not a regular expression ({error})"
        return ""


class OnDisk:
    """Paths of this machine's file system, mounted buckets included."""

    def complaint(self, value: object) -> str:
        text = str(value)
        if "\0" in text:
            return "holds a NUL character: no file has such a name"
        if any("\ud800" <= c <= "\udfff" for c in text):
            return "holds a byte that is no UTF-8: give the folder a name in UTF-8"
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
            return (
                "is an address and no folder of this machine: mount the bucket (gcsfuse, s3fs) "
                "and give the folder, or copy what is needed"
            )
        return ""


#: How many of something there is: at least one.
Size: TypeAlias = Annotated[int, Range(1, INT32)]
#: A count that may be none; often 0 means "as many as there are".
Count: TypeAlias = Annotated[int, Range(0, INT32)]
#: -1 means "as found" or "all that are left".
CountOrAuto: TypeAlias = Annotated[int, Range(-1, INT32)]
Whole: TypeAlias = Annotated[int, Range(-INT32, INT32)]
#: Of random numbers; what numpy, jax.random and torch all take.
Seed: TypeAlias = Annotated[int, Range(0, 2**32 - 1)]
#: Width, depth, side in pixels, rows of a table: larger ones are typing errors that would take all
#: memory before anything could be said about them.
Extent: TypeAlias = Annotated[int, Range(1, 2**20)]
#: The same, where 0 means "none" or "as the data".
ExtentOrNone: TypeAlias = Annotated[int, Range(0, 2**20)]
Depth: TypeAlias = Annotated[int, Range(1, 1000)]
Channels: TypeAlias = Annotated[int, Range(1, 1024)]
#: Processes or threads of one machine; 0 means "as many as make sense".
Workers: TypeAlias = Annotated[int, Range(0, 4096)]
#: Of JPEG files.
Quality: TypeAlias = Annotated[int, Range(1, 100)]

Finite: TypeAlias = Annotated[float, Range()]
Positive: TypeAlias = Annotated[float, Range(0, low_open=True)]
NonNegative: TypeAlias = Annotated[float, Range(0)]
#: From 0 to 1, both included.
Fraction: TypeAlias = Annotated[float, Range(0, 1)]
#: Part of something: above 0, and 1 is all of it.
Share: TypeAlias = Annotated[float, Range(0, 1, low_open=True)]
#: Rates that keep something: 0 keeps none, 1 would never change.
Decay: TypeAlias = Annotated[float, Range(0, 1, high_open=True)]
#: Between 0 and 1, neither included.
Inside: TypeAlias = Annotated[float, Range(0, 1, low_open=True, high_open=True)]
AtLeastOne: TypeAlias = Annotated[float, Range(1)]
AboveOne: TypeAlias = Annotated[float, Range(1, low_open=True)]
Cosine: TypeAlias = Annotated[float, Range(-1, 1)]

Dtype: TypeAlias = Literal["float32", "bfloat16", "float16"]
Pattern: TypeAlias = Annotated[str, Compiles()]
Folder: TypeAlias = Annotated[str, OnDisk()]
