"""Faults of a checkpoint, collected, so that one error shows all of them."""

from collections.abc import Iterable

from medvlp_jax.core.errors import UserError

#: Faults of one kind that are spelled out; the rest is counted.
SHOWN = 20


class WeightsError(UserError):
    """Weights that cannot be read or written; the message lists every fault that was found."""


class Faults:
    """A list of faults by kind, raised together by :meth:`stop`."""

    def __init__(self) -> None:
        self._by_kind: dict[str, list[str]] = {}

    def add(self, kind: str, fault: str) -> None:
        """Notes one fault; ``kind`` is a plural that fits behind a number ("missing tensors")."""
        self._by_kind.setdefault(kind, []).append(fault)

    def __bool__(self) -> bool:
        return bool(self._by_kind)

    def stop(self, where: object) -> None:
        """Raises if anything was noted.

        Raises:
          WeightsError: naming ``where``, with a line per kind and a line per fault.
        """
        if self._by_kind:
            raise WeightsError(f"{where} cannot be used:\n" + "\n".join(self._lines()))

    def _lines(self) -> Iterable[str]:
        for kind, faults in self._by_kind.items():
            yield f"  {len(faults)} {kind}:"
            yield from (f"    {fault}" for fault in faults[:SHOWN])
            if len(faults) > SHOWN:
                yield f"    ... and {len(faults) - SHOWN} more"
