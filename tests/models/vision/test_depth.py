"""Samples of any depth become 8 bits, by the range that they use or that the file declares."""

import struct

import numpy as np
import pytest
from PIL import Image

from models.vision.depth import to_8_bits
from tests.models.vision.pictures import SIZE, chunk, deep_png, drawn, encoded, grey


@pytest.mark.parametrize(("level", "expected"), [(0, 0), (257 * 100, 100), (65_535, 255)])
def test_the_full_range_of_16_bits_becomes_8(level: int, expected: int) -> None:
    assert to_8_bits(np.array([level], np.uint16)).tolist() == [expected]


@pytest.mark.parametrize(("most", "bits"), [(200, 8), (256, 10), (1_023, 10), (1_024, 12), (4_096, 14), (16_384, 16)])
def test_the_highest_level_says_how_many_bits_are_used(most: int, bits: int) -> None:
    assert to_8_bits(np.array([0, most], np.uint16))[1] == round(most / ((1 << bits) - 1) * 255)


def test_a_declared_range_is_not_stretched() -> None:
    levels = np.array([[[0], [900]]], np.uint16)
    assert grey(deep_png(levels)).max() == round(900 / 1_023 * 255)
    assert grey(deep_png(levels, chunk(b"sBIT", b"\x0c"))).max() == round(900 / 4_095 * 255)
    assert grey(encoded(Image.fromarray(levels[..., 0]), "TIFF", tiffinfo={281: 4_095})).max() == round(
        900 / 4_095 * 255
    )


@pytest.mark.parametrize("low", [-32_768, -5, 0, 70_000])
def test_numbers_below_zero_or_beyond_16_bits_are_stretched(low: int) -> None:
    levels = np.asarray(drawn(), np.int32) * 300 + low
    assert np.abs(grey(encoded(Image.fromarray(levels), "TIFF")) - np.asarray(drawn(), np.float64)).max() <= (
        1 if low else 43
    )


def test_unsigned_numbers_of_32_bits_are_stretched() -> None:
    levels = (np.asarray(drawn(), np.uint32) * 16_843_009).view(np.int32)
    signed = encoded(Image.fromarray(levels), "TIFF")
    unsigned = signed.replace(struct.pack("<HHIH", 339, 3, 1, 2), struct.pack("<HHIH", 339, 3, 1, 1))
    assert unsigned != signed
    assert np.abs(grey(unsigned) - np.asarray(drawn(), np.float64)).max() <= 1


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.0), (1.0, 0.0), (0.02, -3.0)])
def test_floats_are_shares_levels_or_stretched(scale: float, offset: float) -> None:
    levels = (np.asarray(drawn(), np.float32) * scale + offset).astype(np.float32)
    assert np.abs(grey(encoded(Image.fromarray(levels), "TIFF")) - np.asarray(drawn())).max() <= 1


def test_numbers_that_are_none_are_black() -> None:
    levels = np.full(SIZE[::-1], np.nan, np.float32)
    levels[3:, :] = 1.0
    assert grey(encoded(Image.fromarray(levels), "TIFF"))[:4, 0].tolist() == [0, 0, 0, 255]


def test_a_transparent_level_of_16_bits_is_the_ground() -> None:
    levels = np.where(np.asarray(drawn()) == 0, 65_535, 5_000).astype(np.uint16)
    found = grey(encoded(Image.fromarray(levels), transparency=5_000))
    assert (found[20, 55], found[0, 0]) == (255, 0)
