import numpy as np

from models.foreign.inputs import ConstantInput, ImageInput, NumbersInput, SamplesInput
from models.foreign.options import Dtypes

FLOAT = np.dtype(np.float32)


def test_a_picture_is_scaled_less_the_mean_and_divided_by_the_deviation_of_each_channel() -> None:
    design = ImageInput(name="x", mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    [[red, green, blue]] = np.full((1, 3), 255)
    picture = np.array([[[[red, green, blue]]]], np.uint8)
    feed = design.feeds({"image": picture}, {"x": FLOAT})["x"]
    assert feed.shape == (1, 3, 1, 1)
    np.testing.assert_allclose(feed.ravel(), [(1 - 0.1) / 0.5, (1 - 0.2) / 1.0, (1 - 0.3) / 2.0], rtol=1e-6)


def test_bytes_go_in_as_they_are_in_the_order_that_the_model_takes() -> None:
    design = ImageInput(name="x", layout="NHWC", channels="BGR", scale=1.0)
    picture = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    feed = design.feeds({"image": picture}, {"x": np.dtype(np.uint8)})["x"]
    assert feed.dtype == np.uint8
    assert feed[0, 0].tolist() == [[2, 1, 0], [5, 4, 3]]


def test_a_recording_is_standardised_if_the_model_was_trained_so() -> None:
    samples = np.array([[0, 16384, -16384, 8192]], np.int16)
    plain = SamplesInput(name="x").feeds({"samples": samples}, {"x": FLOAT})["x"]
    assert plain.tolist() == [[0, 0.5, -0.5, 0.25]]
    standard = SamplesInput(name="x", standardised=True).feeds({"samples": samples}, {"x": FLOAT})["x"]
    np.testing.assert_allclose([standard.mean(), standard.std()], [0, 1], atol=1e-5)


def test_columns_get_the_type_of_the_input_that_takes_them() -> None:
    numbers = np.array([[1.0, 2.5], [3.0, 4.5]])
    both = NumbersInput(names=("x",), columns=("a", "b")).feeds({"numbers": numbers}, {"x": FLOAT})
    assert both["x"].tolist() == numbers.tolist()
    types: Dtypes = {"a": np.dtype(np.int64), "b": FLOAT}
    apart = NumbersInput(names=("a", "b"), columns=("a", "b")).feeds({"numbers": numbers}, types)
    assert apart["a"].tolist() == [[1], [3]]
    assert [apart["a"].dtype.name, apart["b"].dtype.name] == ["int64", "float32"]


def test_a_constant_is_given_to_each_event() -> None:
    feed = ConstantInput(name="size", shape=(2,), values=(480, 640)).feed(3, {"size": np.dtype(np.int64)})
    assert feed.tolist() == [[480, 640]] * 3
