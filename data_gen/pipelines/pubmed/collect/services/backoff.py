"""How long to wait between attempts: a pure function, so that a run can be told in advance."""

import hashlib


def pause(attempt: int, key: str, first: float, longest: float) -> float:
    """Seconds to wait after attempt number ``attempt`` failed.

    The pauses double from ``first`` up to ``longest``; then up to half of each is taken off by a
    number that depends on ``key`` and ``attempt`` alone, so that requests which failed together do
    not come back together. ("Exponential back-off with equal jitter".)

    Args:
      attempt: 0 for the first one.
      key: what is asked for, such as the address.
      first, longest: seconds, positive.

    Returns:
      Between half of ``min(longest, first * 2**attempt)`` and all of it.
    """
    # 2.0**attempt overflows at 1024, long after every bound is reached.
    whole = min(longest, first * 2.0 ** min(attempt, 64))
    digest = hashlib.blake2b(f"{attempt}\n{key}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    return whole * (1 - share / 2)


def granted(attempt: int, key: str, first: float, longest: float, asked: float) -> float:
    """The pause, or what the service asked for (``Retry-After``) where that is longer."""
    return max(pause(attempt, key, first, longest), asked)
