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
    """A session to which these came, a millisecond after each other."""
    made = LiveSession(began_ms=0, heard_ms=0)
    for now, one in enumerate(chunks):
        made.add(one, limits, now)
    return made


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, Sequence[int]]:
    """How many chunks a session has, and in which order they come, some of them several times."""
    count = draw(st.integers(1, 12))
    order = draw(st.permutations(range(count)))
    return count, draw(st.permutations([*order, *draw(st.lists(st.sampled_from(order), max_size=8))]))


@given(deliveries())
def test_in_whatever_order_and_however_often_chunks_come_the_session_is_the_same(
    delivery: tuple[int, list[int]],
) -> None:
    count, order = delivery
    made, kept = LiveSession(0, 0), []
    for now, number in enumerate(order):
        # As it is kept: what Flink restores is this text.
        made = LiveSession.from_json(made.to_json())
        if made.add(chunk(number, number == count - 1), LIMITS, now) is ChunkStatus.KEPT:
            kept.append(number)
        assert made.is_complete == (len(kept) == count)
    assert sorted(kept) == list(range(count))
    assert (made.next, made.missing, made.size) == (count, [], 10 * count)


@given(deliveries(), st.data())
def test_what_never_comes_is_given_up_and_all_else_is_there(
    delivery: tuple[int, list[int]], data: st.DataObject
) -> None:
    count, order = delivery
    lost = data.draw(st.sets(st.sampled_from(range(count)), max_size=count - 1))
    made = session(*(chunk(number, number == count - 1) for number in order if number not in lost))
    for step in range(1, 4 * count + 10):
        now = step * LIMITS.gap_ms
        assert made.is_complete or made.deadline(LIMITS) <= now + LIMITS.idle_ms
        made.expire(LIMITS, now)
        if made.is_complete:
            break
    assert made.is_complete
    there = set(range(made.next)) - set(made.missing)
    assert there == set(range(count)) - lost


@given(st.lists(st.tuples(st.integers(0, 80), st.booleans(), st.integers(0, 300), st.integers(0, 90_000))))
def test_whatever_comes_a_session_stays_within_its_bounds(chunks: list[tuple[int, bool, int, int]]) -> None:
    made = LiveSession(0, 0)
    for now, (number, final, size, logged) in enumerate(chunks):
        try:
            made.add(chunk(number, final, size, logged), LIMITS, now)
        except Rejected:
            made.close(now, failed=True)
        if made.is_complete:
            made.close(now)
        assert made.size <= LIMITS.bytes
        assert len(made.ahead) + len(made.missing) <= LIMITS.chunks
        assert made.next <= LIMITS.chunks


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
def test_what_is_too_much_ends_the_session(chunks: list[Chunk], code: str) -> None:
    with pytest.raises(Rejected) as error:
        session(*chunks)
    assert error.value.code == code


def test_a_missing_chunk_is_waited_for_then_given_up_and_late_when_it_comes() -> None:
    made = session(chunk(0), chunk(2))
    assert made.deadline(LIMITS) == 1 + LIMITS.gap_ms
    made.expire(LIMITS, LIMITS.gap_ms)
    assert made.next == 1
    made.expire(LIMITS, LIMITS.gap_ms + 1)
    assert (made.next, made.missing, made.is_complete) == (3, [1], False)
    assert made.add(chunk(1), LIMITS, 6000) is ChunkStatus.LATE
    assert made.add(chunk(0), LIMITS, 6000) is ChunkStatus.DUPLICATE


def test_a_session_without_new_chunks_is_at_its_end() -> None:
    made = session(chunk(0), chunk(1))
    made.expire(LIMITS, LIMITS.idle_ms + 1)
    assert made.is_complete


def test_a_session_that_ended_knows_its_chunks_for_a_while() -> None:
    made = session(chunk(0), chunk(1, final=True))
    made.close(7)
    assert made.add(chunk(1, final=True), LIMITS, 8) is ChunkStatus.DUPLICATE
    assert made.add(chunk(2), LIMITS, 8) is ChunkStatus.LATE
    assert not made.is_forgotten(7 + RETENTION_MS - 1)
    assert made.is_forgotten(7 + RETENTION_MS)
    failed = session(chunk(0))
    failed.close(7, failed=True)
    assert failed.add(chunk(1), LIMITS, 8) is ChunkStatus.DUPLICATE


def test_partials_come_at_their_interval_and_more_rarely_as_a_session_grows() -> None:
    limits = SessionLimits(
        bytes=10**6, total_bytes=10**9, chunks=10_000, ms=10**7, gap_ms=1, idle_ms=1, partial_ms=1000
    )
    made, partials = LiveSession(0, 0), []
    for number in range(6000):
        made.add(chunk(number, logged_ms=100 * number), limits, number)
        if made.partial_due(100 * number, limits):
            partials.append(100 * number)
    assert partials[:5] == [1000, 2000, 3000, 4000, 5000]
    assert all(later - earlier >= 0.1 * earlier for earlier, later in itertools.pairwise(partials))
    assert len(partials) < 60


def test_without_an_interval_there_are_no_partials() -> None:
    made = session(chunk(0))
    assert not made.partial_due(10**9, LIMITS)
