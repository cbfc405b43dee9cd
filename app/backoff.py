"""Waiting between attempts: longer each time, up to a bound."""

from collections.abc import Iterator

_MIN_BACKOFF_SECONDS = 0.1
_MAX_BACKOFF_SECONDS = 5.0


def backoff() -> Iterator[float]:
    """Seconds to wait before each further try: doubling, up to a bound, for ever."""
    wait = _MIN_BACKOFF_SECONDS
    while True:
        yield wait
        wait = min(2 * wait, _MAX_BACKOFF_SECONDS)
