"""The search of nearly equal inputs, and what it may hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.inference.near_inputs import MAX_VALUES, NearInputs, decode_key, encode_key

BOUND = 5


def key(value: int, size: int = 1000) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((10, size // 10), value, np.uint8)


@given(arrays(np.uint8, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_a_key_is_read_as_it_was_written(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    np.testing.assert_array_equal(decode_key(encode_key(values)), values, strict=True)


@pytest.mark.parametrize("text", ["", "2x2", "2x2:!", "2x2:AAAA", "2x3:" + encode_key(key(1))[7:], "x:" + "A" * 8])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a near key"):
        decode_key(text)


def test_a_key_that_would_take_much_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a near key"):
        decode_key(encode_key(np.zeros(MAX_VALUES + 1, np.uint8)))


def test_inputs_within_the_bound_are_found_the_nearest_first() -> None:
    inputs = NearInputs(BOUND)
    for value in (100, 103, 105, 106, 94):
        inputs.put(str(value), key(value))
    assert inputs.find(key(100)) == [(0, "100"), (3, "103"), (5, "105")]
    assert inputs.find(key(101)) == [(1, "100"), (2, "103"), (4, "105"), (5, "106")]


@given(st.integers(0, 999))
def test_one_value_beyond_the_bound_anywhere_makes_another_input(place: int) -> None:
    inputs, other = NearInputs(BOUND), key(100)
    inputs.put("remembered", key(100))
    other.flat[place] = 106
    assert inputs.find(other) == []
    other.flat[place] = 95
    assert inputs.find(other) == [(5, "remembered")]


def test_keys_of_other_shapes_are_other_inputs() -> None:
    inputs = NearInputs(BOUND)
    inputs.put("remembered", key(100))
    assert inputs.find(key(100, 990)) == inputs.find(key(100).ravel()) == []


def test_an_input_has_its_newest_key_until_it_is_discarded() -> None:
    inputs = NearInputs(BOUND)
    inputs.put("one", key(100))
    inputs.put("one", key(200))
    assert (inputs.find(key(100)), inputs.find(key(200))) == ([], [(0, "one")])
    inputs.discard("one")
    inputs.discard("unknown")
    assert inputs.find(key(200)) == []
    inputs.put("two", key(200))
    inputs.clear()
    assert inputs.find(key(200)) == []
