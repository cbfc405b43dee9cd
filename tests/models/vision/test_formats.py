"""Only formats of a list reach a parser."""

import pytest

from models.vision.formats import FORMATS
from tests.models.vision.pictures import code, drawn, encoded


def test_the_formats_are_those_that_people_send() -> None:
    assert set(FORMATS) == {"PNG", "JPEG", "WEBP", "TIFF", "GIF", "AVIF", "HEIF", "JPEG2000", "BMP"}


@pytest.mark.parametrize("payload", [b"just some text", b'{"a": 1}', b"\0" * 100, b"\x89", b"<svg/>"])
def test_what_is_no_image_is_refused(payload: bytes) -> None:
    assert code(payload) == "not_an_image"


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PPM", "PCX", "TGA", "PDF"])
def test_other_formats_are_refused(kind: str) -> None:
    assert code(encoded(drawn().convert("RGB"), kind)) == "not_an_image"


def test_nothing_is_refused_as_empty() -> None:
    assert code(b"") == "empty"
