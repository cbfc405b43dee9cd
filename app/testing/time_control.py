"""Time in a test: a clock that the test sets, and retries that do not wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from app import backoff

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


class ManualClock:
    """A clock that only `advance` moves. Call it for the time, as the platform calls its clocks."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the time forward."""
        self.now += timedelta(seconds=seconds)


@contextmanager
def fast_retries() -> Iterator[None]:
    """Wait 0.1 to 1 ms between the attempts of everything that retries, for as long as the block lasts."""
    with (
        patch.object(backoff, "_MIN_BACKOFF_SECONDS", 0.0001),
        patch.object(backoff, "_MAX_BACKOFF_SECONDS", 0.001),
    ):
        yield
