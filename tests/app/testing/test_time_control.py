from datetime import timedelta

from app.backoff import backoff
from app.testing import ManualClock, fast_retries


def test_a_manual_clock_moves_only_when_it_is_advanced() -> None:
    clock = ManualClock()
    start = clock()
    assert clock() == start
    clock.advance(1.5)
    assert clock() == start + timedelta(seconds=1.5)


def test_retries_are_fast_for_as_long_as_the_block_lasts() -> None:
    before = next(backoff())
    with fast_retries():
        assert next(backoff()) < 0.001
    assert next(backoff()) == before
