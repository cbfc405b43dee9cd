"""Waiting between attempts: longer each time, up to a bound."""

from collections.abc import Iterator

_FIRST_BACKOFF = 0.1
_LONGEST_BACKOFF = 5.0


def backoff() -> Iterator[float]:
    """Seconds to wait before each further try: doubling, up to a bound, for ever."""
    wait = _FIRST_BACKOFF
    while True:
        yield wait
        wait = min(2 * wait, _LONGEST_BACKOFF)
