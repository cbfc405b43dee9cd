import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.preprocess.sessions.session import RETENTION_MS, Chunk, ChunkStatus, LiveSession, SessionLimits
from models.base import Rejected

LIMITS = SessionLimits(bytes=1000, total_bytes=10**9, chunks=50, ms=60_000, gap_ms=5_000, idle_ms=30_000, partial_ms=0)


def chunk(sequence: int, final: bool = False, size: int = 10, logged_ms: int = 0) -> Chunk:
    return Chunk(sequence, final, size, logged_ms)


def session(*chunks: Chunk, limits: SessionLimits = LIMITS) -> LiveSession:
    """Return a session with these chunks, which came one millisecond after another."""
    live_session = LiveSession(began_ms=0, heard_ms=0)
    for now, each_chunk in enumerate(chunks):
        live_session.add(each_chunk, limits, now)
    return live_session


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, Sequence[int]]:
    """Draw the number of a session's chunks, and an order in which they come, some of them several times."""
    count = draw(st.integers(1, 12))
    order = draw(st.permutations(range(count)))
    return count, draw(st.permutations([*order, *draw(st.lists(st.sampled_from(order), max_size=8))]))


@given(deliveries())
def test_a_session_does_not_depend_on_the_order_and_repetition_of_its_chunks(
    delivery: tuple[int, list[int]],
) -> None:
    count, order = delivery
    live, kept = LiveSession(0, 0), []
    for now, number in enumerate(order):
        # Flink keeps and restores this text.
        live = LiveSession.from_json(live.to_json())
        if live.add(chunk(number, number == count - 1), LIMITS, now) is ChunkStatus.KEPT:
            kept.append(number)
        assert live.is_complete == (len(kept) == count)
    assert sorted(kept) == list(range(count))
    assert (live.next, live.missing, live.size) == (count, [], 10 * count)


@given(deliveries(), st.data())
def test_lost_chunks_are_given_up_and_all_others_are_kept(delivery: tuple[int, list[int]], data: st.DataObject) -> None:
    count, order = delivery
    lost = data.draw(st.sets(st.sampled_from(range(count)), max_size=count - 1))
    live = session(*(chunk(number, number == count - 1) for number in order if number not in lost))
    for step in range(1, 4 * count + 10):
        now = step * LIMITS.gap_ms
        assert live.is_complete or live.deadline(LIMITS) <= now + LIMITS.idle_ms
        live.expire(LIMITS, now)
        if live.is_complete:
            break
    assert live.is_complete
    kept = set(range(live.next)) - set(live.missing)
    assert kept == set(range(count)) - lost


@given(st.lists(st.tuples(st.integers(0, 80), st.booleans(), st.integers(0, 300), st.integers(0, 90_000))))
def test_a_session_stays_within_its_bounds_for_any_chunks(chunks: list[tuple[int, bool, int, int]]) -> None:
    live = LiveSession(0, 0)
    for now, (number, final, size, logged) in enumerate(chunks):
        try:
            live.add(chunk(number, final, size, logged), LIMITS, now)
        except Rejected:
            live.close(now, failed=True)
        if live.is_complete:
            live.close(now)
        assert live.size <= LIMITS.bytes
        assert len(live.ahead) + len(live.missing) <= LIMITS.chunks
        assert live.next <= LIMITS.chunks


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([chunk(0), chunk(50)], "session_too_many_chunks"),
        ([chunk(0, size=600), chunk(1, size=401)], "session_too_large"),
        ([chunk(0), chunk(1, logged_ms=60_001)], "session_too_long"),
        ([chunk(1, final=True), chunk(2)], "bad_final"),
        ([chunk(2), chunk(1, final=True)], "bad_final"),
        ([chunk(2, final=True), chunk(3, final=True)], "bad_final"),
    ],
)
def test_a_chunk_that_exceeds_a_bound_fails_the_session(chunks: list[Chunk], code: str) -> None:
    with pytest.raises(Rejected) as error:
        session(*chunks)
    assert error.value.code == code


def test_a_session_waits_for_a_missing_chunk_then_gives_it_up_and_it_is_late_when_it_comes() -> None:
    live = session(chunk(0), chunk(2))
    assert live.deadline(LIMITS) == 1 + LIMITS.gap_ms
    live.expire(LIMITS, LIMITS.gap_ms)
    assert live.next == 1
    live.expire(LIMITS, LIMITS.gap_ms + 1)
    assert (live.next, live.missing, live.is_complete) == (3, [1], False)
    assert live.add(chunk(1), LIMITS, 6000) is ChunkStatus.LATE
    assert live.add(chunk(0), LIMITS, 6000) is ChunkStatus.DUPLICATE


def test_a_session_without_new_chunks_ends() -> None:
    live = session(chunk(0), chunk(1))
    live.expire(LIMITS, LIMITS.idle_ms + 1)
    assert live.is_complete


def test_a_closed_session_recognizes_its_chunks_until_its_retention_ends() -> None:
    live = session(chunk(0), chunk(1, final=True))
    live.close(7)
    assert live.add(chunk(1, final=True), LIMITS, 8) is ChunkStatus.DUPLICATE
    assert live.add(chunk(2), LIMITS, 8) is ChunkStatus.LATE
    assert not live.is_forgotten(7 + RETENTION_MS - 1)
    assert live.is_forgotten(7 + RETENTION_MS)
    failed = session(chunk(0))
    failed.close(7, failed=True)
    assert failed.add(chunk(1), LIMITS, 8) is ChunkStatus.DUPLICATE


def test_partials_come_at_their_interval_and_more_rarely_as_a_session_grows() -> None:
    limits = SessionLimits(
        bytes=10**6, total_bytes=10**9, chunks=10_000, ms=10**7, gap_ms=1, idle_ms=1, partial_ms=1000
    )
    live, partials = LiveSession(0, 0), []
    for number in range(6000):
        live.add(chunk(number, logged_ms=100 * number), limits, number)
        if live.partial_due(100 * number, limits):
            partials.append(100 * number)
    assert partials[:5] == [1000, 2000, 3000, 4000, 5000]
    assert all(later - earlier >= 0.1 * earlier for earlier, later in itertools.pairwise(partials))
    assert len(partials) < 60


def test_without_an_interval_there_are_no_partials() -> None:
    live = session(chunk(0))
    assert not live.partial_due(10**9, LIMITS)
