"""Files become upright, opaque pictures, or are refused before their pixels are decoded."""

from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from models.base import Rejected
from models.vision.files import check_pixels, opaque, read_upright


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def anything(width: int, height: int) -> None:
    """Every size is welcome."""


def refused(width: int, height: int) -> None:
    raise Rejected("unwanted", f"{width} x {height}")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_whichever_way_it_was_stored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 0, 0))
    found = read_upright(encoded(image, exif=exif), anything)
    assert found.size == ((4, 2) if orientation <= 4 else (2, 4))
    corner = {1: (0, 0), 2: (3, 0), 3: (3, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 3), 8: (0, 3)}[orientation]
    assert found.getpixel(corner) == (255, 0, 0)


def test_a_size_that_is_not_wanted_is_refused_before_the_file_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the file was opened")

    payload = encoded(Image.new("L", (7, 3)))
    monkeypatch.setattr(Image, "open", opened)
    with pytest.raises(Rejected, match="7 x 3") as caught:
        read_upright(payload, refused)
    assert caught.value.code == "unwanted"


@pytest.mark.parametrize(
    ("size", "code"), [((0, 5), "broken"), ((101, 1), "too_many_pixels"), ((11, 10), "too_many_pixels")]
)
def test_sizes_without_pixels_or_with_too_many_are_refused(size: tuple[int, int], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        check_pixels(*size, most=100)
    assert caught.value.code == code
    check_pixels(10, 10, most=100)


def test_what_is_opaque_stays_as_it_is() -> None:
    for mode in ("1", "L", "RGB", "CMYK", "P"):
        image = Image.new(mode, (2, 2))
        assert opaque(image) is image


def test_transparency_is_mixed_with_white() -> None:
    assert opaque(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255, 255)
    level = opaque(Image.new("LA", (1, 1), (0, 128))).convert("L").getpixel((0, 0))
    assert level == pytest.approx(127, abs=1)


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (257 * 100, 100), (65535, 255)])
def test_16_bits_become_8(level: int, expected: int) -> None:
    found = opaque(Image.new("I;16", (1, 1), level))
    assert found.mode == "L"
    assert found.getpixel((0, 0)) == expected
