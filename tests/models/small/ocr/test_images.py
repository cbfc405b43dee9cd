"""Reading image files: every kind of PNG and JPEG, and everything that is refused."""

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
from models.small.ocr.images import (
    HEIGHT,
    MAX_HEIGHT_PER_WIDTH,
    MAX_WIDTH,
    MAX_WIDTH_PER_HEIGHT,
    MIN_WIDTH,
    has_content,
    normalise,
    read_image,
)
from models.small.ocr.task import Ocr


def drawn(size: tuple[int, int] = (120, 40), paper: int = 255, ink: int = 0) -> Image.Image:
    """A ring, a bar and a slanted stroke: it reads differently when turned or mirrored."""
    image = Image.new("L", size, paper)
    draw = ImageDraw.Draw(image)
    draw.ellipse((15, 8, 35, 32), outline=ink, width=4)
    draw.line((55, 8, 55, 32), fill=ink, width=4)
    draw.line((70, 32, 100, 8), fill=ink, width=4)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def line(payload: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return normalise(read_image(payload))


def assert_alike(payload: bytes, tolerance: float = 6.0) -> None:
    expected, found = line(encoded(drawn())).astype(float), line(payload).astype(float)
    assert abs(expected.shape[1] - found.shape[1]) <= 2
    width = min(expected.shape[1], found.shape[1])
    assert np.abs(expected[:, :width] - found[:, :width]).mean() < tolerance


def rejection(payload: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        Ocr().preprocess(payload)
    assert str(caught.value)
    return caught.value.code


def with_alpha(ink: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (120, 40), (*ink, 0))
    image.putalpha(drawn(paper=0, ink=255))
    return image


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_each_mode_of_png_reads_like_grey(mode: str) -> None:
    image = Image.fromarray(np.asarray(drawn(), np.uint16) * 257) if mode == "I;16" else drawn().convert(mode)
    assert_alike(encoded(image))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_each_mode_of_jpeg_reads_like_grey(mode: str) -> None:
    assert_alike(encoded(drawn().convert(mode), "JPEG", quality=95))


def test_progressive_jpeg_reads_like_grey() -> None:
    assert_alike(encoded(drawn(), "JPEG", quality=95, progressive=True))


@pytest.mark.parametrize("ink", [(0, 0, 0), (120, 0, 0)])
def test_transparency_is_white_paper(ink: tuple[int, int, int]) -> None:
    assert_alike(encoded(with_alpha(ink)))


def test_a_transparent_palette_is_white_paper() -> None:
    image = drawn().point(lambda level: 1 if level else 0).convert("P")
    image.putpalette([0, 0, 0, 10, 10, 10])
    assert_alike(encoded(image, transparency=1))


def test_a_transparent_grey_level_is_white_paper() -> None:
    assert_alike(encoded(drawn(paper=7, ink=0), transparency=7))


def test_light_ink_on_a_dark_ground_reads_like_dark_ink_on_a_light_one() -> None:
    assert_alike(encoded(drawn(paper=20, ink=230)))


def test_faint_ink_reads_like_strong_ink() -> None:
    assert_alike(encoded(drawn(paper=180, ink=120)))


def test_margins_do_not_matter() -> None:
    wide = Image.new("L", (320, 140), 255)
    wide.paste(drawn(), (90, 50))
    assert_alike(encoded(wide), tolerance=20.0)


def test_the_exif_orientation_is_followed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise
    sideways = drawn().transpose(Image.Transpose.ROTATE_90)
    assert_alike(encoded(sideways, "JPEG", quality=95, exif=exif))
    assert_alike(encoded(sideways, exif=exif))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_gives_an_empty_line(level: int) -> None:
    image = line(encoded(Image.new("L", (300, 60), level)))
    assert image.shape == (HEIGHT, MIN_WIDTH)
    assert not has_content(image)
    assert has_content(line(encoded(drawn())))


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 120),
    levels=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_any_picture_gives_a_line_of_fixed_height_or_is_refused(
    width: int, height: int, levels: tuple[int, int], seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(min(levels), max(levels) + 1, size=(height, width), dtype=np.uint8)
    payload = encoded(Image.fromarray(pixels))
    if width > MAX_WIDTH_PER_HEIGHT * height or height > MAX_HEIGHT_PER_WIDTH * width:
        assert rejection(payload) == "not_a_line"
        return
    features = Ocr().preprocess(payload)
    assert features["image"].shape == (HEIGHT, features["width"])
    assert features["image"].dtype == np.uint8
    assert features["width"].dtype == np.int32
    assert MIN_WIDTH <= features["width"] <= MAX_WIDTH
    again = Ocr().preprocess(payload)
    np.testing.assert_array_equal(features["image"], again["image"])


def test_a_tight_long_line_reads_like_one_with_margins() -> None:
    tight = Image.new("L", (1_400, 40), 255)
    for number in range(14):
        tight.paste(drawn((100, 40)), (100 * number, 0))
    tight = tight.crop((0, 6, 1_400, 34))
    wide = Image.new("L", (1_400, 140), 255)
    wide.paste(tight, (0, 56))
    expected, found = line(encoded(wide)).astype(float), line(encoded(tight)).astype(float)
    assert expected.shape == found.shape
    assert np.abs(expected - found).mean() < 20


@pytest.mark.parametrize(("paper", "ink"), [((0, 130, 0), (255, 0, 0)), ((0, 0, 255), (97, 0, 0))])
def test_ink_of_the_luminance_of_its_paper_reads_by_its_colour(
    paper: tuple[int, int, int], ink: tuple[int, int, int]
) -> None:
    mask = drawn(paper=0, ink=255)
    image = Image.composite(Image.new("RGB", mask.size, ink), Image.new("RGB", mask.size, paper), mask)
    assert np.ptp(np.asarray(image.convert("L"))) < 20
    assert_alike(encoded(image))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_deep_grey_of_a_smaller_range_reads_alike(bits: int) -> None:
    levels = np.asarray(drawn(), np.uint16) * ((1 << bits) - 1) // 255
    assert_alike(encoded(Image.fromarray(levels)))


def test_white_ink_on_a_clear_ground_is_read() -> None:
    assert_alike(encoded(with_alpha((255, 255, 255))))


def test_one_wide_stroke_is_not_stretched_beyond_the_widest_line() -> None:
    image = Image.new("L", (1200, 60), 255)
    ImageDraw.Draw(image).line((5, 30, 1195, 30), fill=0, width=2)
    assert line(encoded(image)).shape == (HEIGHT, MAX_WIDTH)


def test_an_empty_value_is_refused() -> None:
    assert rejection(b"") == "empty"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000"])
def test_other_image_formats_read_alike(kind: str) -> None:
    assert_alike(encoded(drawn(), kind))


def png_bomb(width: int, height: int) -> bytes:
    """A small file that declares many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(1_000_000), 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused(width: int, height: int) -> None:
    assert rejection(png_bomb(width, height)) == "too_many_pixels"


def test_a_jpeg_that_declares_too_many_pixels_is_refused() -> None:
    payload = bytearray(encoded(drawn(), "JPEG"))
    frame = payload.index(b"\xff\xc0")
    payload[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    assert rejection(bytes(payload)) == "too_many_pixels"


def test_an_image_without_pixels_is_refused() -> None:
    assert rejection(png_bomb(0, 10)) == "broken"


@pytest.mark.parametrize("size", [(10_000, 1), (1, 10_000), (6_060, 60)])
def test_what_has_no_line_s_shape_is_refused(size: tuple[int, int]) -> None:
    assert rejection(encoded(Image.new("L", size, 255))) == "not_a_line"
