from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from models.input_statistics import finite, of_tensors


@given(arrays(np.uint8, array_shapes(max_dims=3, max_side=30)))
def test_the_statistics_of_bytes_are_those_of_numpy(image: NDArray[np.uint8]) -> None:
    if image.size == 1:
        assert of_tensors({"image": image}) == {"image": float(image.item())}
        return
    statistics = of_tensors({"image": image})
    assert statistics["image.mean"] == pytest.approx(image.mean(), rel=1e-12)
    assert statistics["image.std"] == pytest.approx(image.std(), rel=1e-12, abs=1e-12)
    assert statistics["image.size"] == image.size


def test_other_numbers_have_the_same_statistics_and_an_empty_tensor_has_none() -> None:
    tensors: dict[str, NDArray[Any]] = {
        "sound": np.array([1, -2, 4], np.int16),
        "gain": np.array(0.5, np.float32),
        "none": np.zeros(0),
    }
    assert of_tensors(tensors) == {"sound.mean": 1.0, "sound.std": pytest.approx(6**0.5), "sound.size": 3, "gain": 0.5}


def test_numbers_that_are_not_finite_are_left_out_and_the_others_have_six_digits() -> None:
    assert finite({"a": 1 / 3, "b": float("nan"), "c": float("inf")}) == {"a": 0.333333}
