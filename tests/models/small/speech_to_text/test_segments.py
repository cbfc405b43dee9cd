"""Splitting a best path at its pauses."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.small.speech_to_text.segments import MAX_STRETCH_FRAMES, PAUSE_FRAMES, SECONDS_PER_FRAME, stretches
from models.small.speech_to_text.symbols import BLANK, CLASSES, SPACE, encode

paths = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(1, 2 * PAUSE_FRAMES)).map(lambda run: [run[0]] * run[1]),
    max_size=60,
).map(lambda runs: np.array([one for run in runs for one in run], np.int64))


def path(*parts: int | str) -> NDArray[np.int64]:
    """Numbers are frames of blanks, each symbol of a text is a frame."""
    return np.array([one for part in parts for one in ([BLANK] * part if isinstance(part, int) else encode(part))])


@given(paths)
def test_stretches_cover_all_frames_in_order_and_hold_their_speech(best: NDArray[np.int64]) -> None:
    found = stretches(best)
    assert found[0].start == 0
    assert found[-1].stop == len(best)
    for before, after in pairwise(found):
        assert before.stop == after.start
    letters = set(np.flatnonzero((best != BLANK) & (best != SPACE)).tolist())
    for one in found:
        assert one.start <= one.first <= one.last <= one.stop
        assert one.last - one.first <= MAX_STRETCH_FRAMES
    assert letters == {frame for one in found for frame in range(one.first, one.last) if frame in letters}


@given(st.integers(1, 4 * PAUSE_FRAMES))
def test_only_a_pause_splits(gap: int) -> None:
    found = stretches(path(9, "yes", gap, "no", 5))
    assert len(found) == (2 if gap >= PAUSE_FRAMES else 1)


def test_each_stretch_begins_and_ends_with_its_speech() -> None:
    first, second = stretches(path(40, "turn on", 60, "stop", 20))
    assert (first.first, first.last) == (40, 47)
    assert (second.first, second.last) == (107, 111)
    assert first.stop == second.start == 77
    assert first.seconds() == (40 * SECONDS_PER_FRAME - 0.1, 47 * SECONDS_PER_FRAME + 0.1)


def test_times_stay_within_the_recording() -> None:
    (found,) = stretches(path("yes"))
    assert found.seconds() == (0.0, 3 * SECONDS_PER_FRAME)


def test_a_space_in_a_pause_is_no_speech() -> None:
    assert len(stretches(path("yes", PAUSE_FRAMES // 2, " ", PAUSE_FRAMES // 2, "no"))) == 2


def test_silence_is_one_stretch_without_speech() -> None:
    (found,) = stretches(path(30, " ", 4))
    assert (found.first, found.last, found.start, found.stop) == (0, 0, 0, 35)


def test_speech_without_a_pause_is_split_between_words() -> None:
    words: list[int | str] = ["seven", 3, " ", 3] * (MAX_STRETCH_FRAMES // 8)
    found = stretches(path(*words))
    assert len(found) >= 3
    assert all(before.seconds()[1] <= after.seconds()[0] for before, after in pairwise(found))
    for one in found:
        assert (one.last - one.first + 7) % 12 == 0  # whole words


def test_babble_without_spaces_is_split_as_well() -> None:
    found = stretches(np.full(5 * MAX_STRETCH_FRAMES, 3))
    assert all(one.stop - one.start <= MAX_STRETCH_FRAMES for one in found)
