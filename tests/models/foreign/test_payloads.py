"""Pictures, recordings and numbers of any size reach the model in the size that it takes."""

from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from models.base import Rejected
from models.foreign.images import FromImage, Geometry
from models.foreign.numbers import FromNumbers
from models.foreign.recordings import FromAudio
from tests.support.sample_files import encode_picture, encode_sound


class Padded(FromImage):
    height, width, resize = 50, 100, "pad"


class Cropped(FromImage):
    height, width, resize, shorter = 50, 50, "crop", 60


class Line(FromImage):
    height, width, resize, grey, width_step, padding = 20, 200, "line", True, 32, 7


class Measured(FromNumbers):
    columns: ClassVar = ("age", "height")


def picture(width: int, height: int) -> bytes:
    return encode_picture(Image.new("RGB", (width, height), "red"), "PNG")


@pytest.mark.parametrize("size", [(200, 100), (10, 300), (300, 10)])
def test_a_box_of_the_whole_picture_comes_back_as_the_whole_picture(size: tuple[int, int]) -> None:
    features = Padded().preprocess(picture(*size))
    reds = np.argwhere((features["image"] == (255, 0, 0)).all(axis=2))
    (top, left), (bottom, right) = reds.min(axis=0), reds.max(axis=0) + 1
    geometry = Geometry.from_array(features["geometry"])
    np.testing.assert_allclose(geometry.to_picture(np.array([[left, top, right, bottom]])), [[0, 0, *size]], rtol=1e-5)


def test_the_middle_is_cut_out_after_the_shorter_side_has_its_length() -> None:
    features = Cropped().preprocess(picture(240, 120))
    assert features["image"].shape == (50, 50, 3)
    assert (features["image"] == (255, 0, 0)).all()
    whole = Geometry.from_array(features["geometry"]).to_picture(np.array([[0, 0, 50, 50]]))
    np.testing.assert_allclose(whole, [[70, 10, 170, 110]])


def test_a_line_is_padded_at_its_right_to_a_multiple_of_the_step() -> None:
    image = Line().preprocess(picture(100, 40))["image"]
    assert image.shape == (20, 64, 1)
    assert (image[:, 50:] == 7).all()
    assert not (image[:, :50] == 7).any()


def test_a_line_that_is_too_wide_is_made_narrower_and_one_that_is_no_line_is_rejected() -> None:
    assert Line().preprocess(picture(900, 20))["image"].shape == (20, 200, 1)
    with pytest.raises(Rejected) as caught:
        Line().preprocess(picture(900, 2))
    assert caught.value.code == "not_a_line"


def test_a_recording_keeps_its_samples_and_a_short_one_is_filled_with_silence() -> None:
    samples = np.linspace(-0.5, 0.5, 4_000, dtype=np.float32)
    heard = FromAudio().preprocess(encode_sound(samples))["samples"]
    assert heard.shape == (8_000,)
    np.testing.assert_allclose(heard[:4_000] / 32768, samples, atol=1e-4)
    assert not heard[4_000:].any()


@pytest.mark.parametrize("payload", [b"[30, 1.75]", b'{"height": 1.75, "age": 30}'])
def test_numbers_are_a_list_or_named(payload: bytes) -> None:
    assert Measured().preprocess(payload)["numbers"].tolist() == [30, 1.75]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"[30]", "bad_columns"),
        (b'{"age": 30, "weight": 80}', "bad_columns"),
        (b'[30, "tall"]', "bad_number"),
        (b"[30, true]", "bad_number"),
        (b"[30, NaN]", "bad_number"),
        (b"[30, 1e300]", "bad_number"),
        (b"{", "not_json"),
        (b"\xff", "not_json"),
    ],
)
def test_other_numbers_are_rejected(payload: bytes, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        Measured().preprocess(payload)
    assert caught.value.code == code
