"""Pictures of any size and mode become a square, boxes find the way back, and what is no picture is refused."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from models.base import Rejected
from models.small.object_detection import ObjectDetection
from models.small.object_detection.images import SIDE, Geometry, fitted_to_square, has_content, read_picture
from models.vision import files
from models.vision.files import MAX_PIXELS

TASK = ObjectDetection()


def drawn(size: tuple[int, int] = (120, 80)) -> Image.Image:
    """A grey scene that reads differently when turned."""
    image = Image.new("RGB", size, (250, 250, 250))
    ImageDraw.Draw(image).rectangle((10, 10, 50, 30), fill=(40, 40, 40))
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rejection(payload: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        TASK.preprocess(payload)
    assert str(caught.value)
    return caught.value.code


def assert_alike(payload: bytes, tolerance: float = 4.0) -> None:
    expected, found = TASK.preprocess(encoded(drawn())), TASK.preprocess(payload)
    np.testing.assert_array_equal(found["geometry"], expected["geometry"])
    assert np.abs(found["image"].astype(float) - expected["image"]).mean() < tolerance


sizes = st.integers(1, 5000)
shares = st.tuples(*[st.floats(0, 1)] * 4)


@given(width=sizes, height=sizes, box=shares)
def test_a_box_comes_back_from_the_square(width: int, height: int, box: tuple[float, ...]) -> None:
    geometry = Geometry.of(width, height)
    boxes = np.array([box]) * [width, height, width, height]
    inside = geometry.to_square(boxes)
    assert (inside >= 0).all()
    assert (inside <= SIDE).all()
    np.testing.assert_allclose(geometry.to_picture(inside), boxes, atol=1e-6 * max(width, height))
    assert Geometry.from_array(geometry.array()) == geometry


@given(width=sizes, height=sizes)
def test_a_picture_fills_the_square_in_one_direction_and_lies_in_its_middle(width: int, height: int) -> None:
    geometry = Geometry.of(width, height)
    across, down = geometry.right - geometry.left, geometry.bottom - geometry.top
    assert max(across, down) == SIDE
    assert min(across, down) >= 1
    assert abs(geometry.left - (SIDE - geometry.right)) <= 1
    assert abs(geometry.top - (SIDE - geometry.bottom)) <= 1


def test_a_box_beyond_the_picture_is_cut_at_its_edges() -> None:
    geometry = Geometry.of(200, 100)
    assert geometry.to_picture(np.array([[-20.0, 0.0, 300.0, 128.0]])).tolist() == [[0.0, 0.0, 200.0, 100.0]]


@given(width=st.integers(1, 400), height=st.integers(1, 400), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_any_picture_gives_a_square_and_the_same_one_again(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)
    features = TASK.preprocess(encoded(Image.fromarray(pixels)))
    assert features["image"].shape == (SIDE, SIDE, 3)
    assert features["image"].dtype == np.uint8
    assert features["geometry"].dtype == np.int32
    assert features["geometry"].tolist()[4:] == [width, height]
    assert list(TASK.inputs(features)) == ["image"]
    again = TASK.preprocess(encoded(Image.fromarray(pixels)))
    np.testing.assert_array_equal(features["image"], again["image"])


def test_a_drawn_rectangle_is_where_the_geometry_says() -> None:
    square, geometry = fitted_to_square(drawn((300, 200)))
    left, top, right, bottom = geometry.to_square(np.array([[10.0, 10, 51, 31]]))[0].round().astype(int)
    dark = square.mean(axis=2) < 100
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    assert abs(rows[0] - top) <= 1
    assert abs(rows[-1] + 1 - bottom) <= 1
    assert abs(columns[0] - left) <= 1
    assert abs(columns[-1] + 1 - right) <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_each_mode_of_png_reads_alike(mode: str) -> None:
    grey = np.asarray(drawn().convert("L"), np.uint16) * 257
    other = Image.fromarray(grey) if mode == "I;16" else drawn().convert(mode, palette=Image.Palette.ADAPTIVE)
    assert_alike(encoded(other))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_each_mode_of_jpeg_reads_alike(mode: str) -> None:
    assert_alike(encoded(drawn().convert(mode), "JPEG", quality=95))


def test_transparency_is_white() -> None:
    image = Image.new("RGBA", (120, 80), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((10, 10, 50, 30), fill=(40, 40, 40, 255))
    assert_alike(encoded(image))


def test_boxes_are_in_the_picture_as_its_exif_orientation_shows_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise
    sideways = drawn().transpose(Image.Transpose.ROTATE_90)
    assert_alike(encoded(sideways, "JPEG", quality=95, exif=exif))


def test_colours_are_kept() -> None:
    assert read_picture(encoded(Image.new("RGB", (3, 3), (10, 200, 30)))).image.getpixel((1, 1)) == (10, 200, 30)


def test_bad_payloads_are_refused_each_with_its_code() -> None:
    png = encoded(drawn())
    assert rejection(b"") == "empty"
    assert rejection(b"just some text") == "not_an_image"
    assert rejection(png[: len(png) // 2]) == "truncated"
    assert rejection(png.replace(b"IHDR", b"IHDX")) == "broken"


def test_a_bomb_is_refused() -> None:
    bomb = bytearray(encoded(drawn()))
    bomb[16:24] = struct.pack(">II", MAX_PIXELS, 2)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    assert rejection(bytes(bomb)) == "too_many_pixels"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000"])
def test_other_image_formats_read_alike(kind: str) -> None:
    assert_alike(encoded(drawn(), kind))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_deep_grey_of_a_smaller_range_reads_alike(bits: int) -> None:
    levels = np.asarray(drawn().convert("L"), np.uint16).astype(np.uint32) * ((1 << bits) - 1) // 255
    assert_alike(encoded(Image.fromarray(levels.astype(np.uint16))))


def test_boxes_are_in_the_whole_picture_though_a_large_jpeg_is_decoded_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encoded(drawn((480, 320)), "JPEG", quality=95)
    expected = TASK.preprocess(payload)
    monkeypatch.setattr(files, "MAX_DECODED_PIXELS", 480 * 320 - 1)
    found = TASK.preprocess(payload)
    np.testing.assert_array_equal(found["geometry"], expected["geometry"])
    assert np.abs(found["image"].astype(float) - expected["image"]).mean() < 4.0


def test_only_a_picture_with_contrast_has_content() -> None:
    noise = Image.effect_noise((300, 200), 4).convert("RGB")
    for blank in (Image.new("RGB", (64, 200)), Image.new("RGB", (300, 200), (9, 9, 9)), noise):
        assert not has_content(TASK.preprocess(encoded(blank)))
    assert has_content(TASK.preprocess(encoded(drawn())))
