"""Transparent pictures are drawn on the ground that shows them."""

import pytest
from PIL import Image, ImageChops

from models.vision.alpha import opaque
from tests.models.vision.pictures import SIZE, drawn, encoded, grey


@pytest.mark.parametrize("ink", [0, 60, 120, 200, 255])
@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "LA"), ("PNG", "RGBA"), ("WEBP", "RGBA"), ("TIFF", "RGBA"), ("GIF", "RGBA")]
)
def test_ink_on_a_clear_ground_contrasts_with_it(kind: str, mode: str, ink: int) -> None:
    image = Image.merge("LA", (Image.new("L", SIZE, ink), ImageChops.invert(drawn()))).convert(mode)
    found = grey(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert abs(found[20, 55] - found[0, 0]) >= 120
    assert found[20, 55] == pytest.approx(ink, abs=8)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_white_of_a_palette_on_its_clear_colour_contrasts(kind: str) -> None:
    image = drawn().point(lambda level: 0 if level else 1).convert("P")
    image.putpalette([255, 255, 255, 255, 255, 255])
    found = grey(encoded(image, kind, transparency=0))
    assert found[0, 0] == 0 or found.min() == found.max() == 255  # GIF joins equal colours
    image.putpalette([10, 10, 10, 255, 255, 255])
    assert grey(encoded(image, kind, transparency=0))[20, 55] == 255


def test_a_photograph_with_alpha_that_hides_nothing_is_unchanged() -> None:
    image = Image.effect_noise(SIZE, 90).convert("RGBA")
    assert opaque(image).convert("RGB").tobytes() == image.convert("RGB").tobytes()


def test_nothing_at_all_is_white() -> None:
    assert opaque(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255, 255)


def test_what_is_opaque_stays_as_it_is() -> None:
    for mode in ("1", "L", "RGB", "CMYK", "P"):
        image = Image.new(mode, (2, 2))
        assert opaque(image) is image


def test_half_transparent_black_is_mixed_with_white() -> None:
    assert opaque(Image.new("LA", (1, 1), (0, 128))).convert("L").getpixel((0, 0)) == pytest.approx(127, abs=1)
