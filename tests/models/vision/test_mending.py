"""A file that lacks its last bytes is read if its pixels are there, or nearly all of them."""

import numpy as np
import pytest
from PIL import Image

from tests.models.vision.pictures import ENCODERS, code, drawn, encoded, grey

NOISE = Image.effect_noise((96, 96), 80)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF", "JPEG2000"])
@pytest.mark.parametrize("cut", [1, 2])
def test_the_end_of_a_file_without_pixels_may_be_missing(kind: str, cut: int) -> None:
    payload = encoded(drawn(), kind, **(ENCODERS[kind] if kind != "TIFF" else {}))
    assert np.abs(grey(payload[:-cut]) - np.asarray(drawn(), np.float64)).mean() < 2.0


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("JPEG", {"quality": 90})])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_last_pixels_may_be_missing_and_are_like_those_above(kind: str, options: dict[str, int], mode: str) -> None:
    payload = encoded(NOISE.convert(mode), kind, **options)
    whole, found = grey(payload), grey(payload[: int(len(payload) * 0.95)])
    same = np.abs(whole - found).max(axis=1) < 3
    kept = slice(12, None) if kind == "BMP" else slice(None, -24 if kind == "JPEG" else -12)
    assert same[kept].all()
    assert not same.all()
    assert code(payload[: int(len(payload) * 0.8)]) == "truncated"


def test_a_progressive_jpeg_is_read_from_its_last_scan_on() -> None:
    payload = encoded(NOISE.convert("RGB"), "JPEG", progressive=True, quality=90)
    last = payload.rindex(b"\xff\xda")
    assert np.abs(grey(payload[: last + 100]) - grey(payload)).mean() < 10
    assert code(payload[: last - 1]) == "truncated"


def test_cut_pictures_whose_missing_pixels_are_not_known_are_refused() -> None:
    bilevel = NOISE.convert("1")
    payload = encoded(bilevel)
    assert code(payload[: int(len(payload) * 0.95)]) == "truncated"
