"""Chunks: where they begin, end and are cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.speech_to_text.voice_activity import (
    FULL_CHUNK,
    LONG_PAUSE,
    MARGIN,
    MAX_CHUNK,
    MIN_VOICE,
    PAUSE,
    Probabilities,
    chunks,
)


def windows(*stretches: tuple[float, int]) -> Probabilities:
    return np.array([probability for probability, count in stretches for _ in range(count)], np.float32)


def test_a_recording_without_voice_has_no_chunk() -> None:
    assert chunks(windows((0.1, 100))) == []
    assert chunks(windows()) == []


def test_voice_is_a_chunk_with_a_margin() -> None:
    assert chunks(windows((0.0, 50), (0.9, 40), (0.0, 50))) == [(50 - MARGIN, 90 + MARGIN)]
    assert chunks(windows((0.9, 40))) == [(0, 40)]


@pytest.mark.parametrize(("gap", "count"), [(PAUSE - 1, 1), (PAUSE, 2)])
def test_a_pause_parts_chunks_and_a_short_gap_does_not(gap: int, count: int) -> None:
    assert len(chunks(windows((0.9, FULL_CHUNK), (0.0, gap), (0.9, 40)))) == count


@pytest.mark.parametrize(("gap", "count"), [(LONG_PAUSE - 1, 1), (LONG_PAUSE, 2)])
def test_short_chunks_stay_together_unless_the_pause_is_long(gap: int, count: int) -> None:
    assert len(chunks(windows((0.9, 40), (0.0, gap), (0.9, 40)))) == count


def test_doubtful_windows_go_on_with_a_voice_but_begin_none() -> None:
    assert chunks(windows((0.0, 50), (0.4, 30), (0.0, 50))) == []
    assert chunks(windows((0.0, 50), (0.9, 10), (0.4, 30), (0.0, 50))) == [(50 - MARGIN, 90 + MARGIN)]


def test_a_click_is_no_voice() -> None:
    assert chunks(windows((0.0, 50), (0.9, MIN_VOICE - 1), (0.0, 50))) == []


def test_a_long_chunk_is_cut_where_voice_is_least_probable() -> None:
    half = MAX_CHUNK * 2 // 3
    assert chunks(windows((0.9, half), (0.6, 1), (0.9, half))) == [(0, half), (half, 2 * half + 1)]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 200)), max_size=30))
def test_chunks_are_in_order_none_is_too_long_and_all_clear_voice_is_in_one(stretches: list[tuple[float, int]]) -> None:
    probabilities = windows(*stretches)
    found = chunks(probabilities)
    assert all(0 <= start < stop <= len(probabilities) and stop - start <= MAX_CHUNK for start, stop in found)
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    covered = np.zeros(len(probabilities), bool)
    for start, stop in found:
        covered[start:stop] = True
    position = 0
    for probability, count in stretches:
        if probability >= 0.5 and count >= MIN_VOICE:
            assert covered[position : position + count].all()
        position += count
