"""Training data: the same by seed, and no scan or font of the tests in it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from models.small.ocr.data import generation
from models.small.ocr.data.fonts import FAMILIES, Family, font_files
from models.small.ocr.data.generation import digit_scans, make_lines, split_fonts
from models.small.ocr.data.lines import held_out_scans
from models.small.ocr.images import HEIGHT
from models.small.ocr.symbols import unknown_symbols


def test_the_held_out_scans_are_the_last_fifth_and_ship_with_the_task() -> None:
    digits = load_digits()
    np.testing.assert_array_equal(held_out_scans().images, digits.images[1437:])
    np.testing.assert_array_equal(held_out_scans().digits, digits.target[1437:])
    np.testing.assert_array_equal(held_out_scans().images, digit_scans("test").images)


def test_the_splits_of_scans_share_none() -> None:
    sizes = [len(digit_scans(split).digits) for split in ("train", "validation", "test")]
    assert sizes == [1293, 144, 360]
    np.testing.assert_array_equal(
        np.concatenate([digit_scans(split).digits for split in ("train", "validation", "test")]), load_digits().target
    )


def test_no_font_family_is_in_two_splits() -> None:
    names = [family.name for families in FAMILIES.values() for family in families]
    assert len(names) == len(set(names))
    files = [path for split in FAMILIES for family in split_fonts(split) for path in family]
    assert len(files) == len(set(files))


def test_a_font_that_is_not_installed_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="No Such Font"):
        font_files(Family("No Such Font", "no_such_package", "*.ttf", ""))


@pytest.mark.parametrize("kind", ["digits", "printed"])
def test_lines_depend_on_seed_and_split_alone(kind: str) -> None:
    first = make_lines(kind, "train", 20, 7, processes=1)
    again = make_lines(kind, "train", 20, 7, processes=1)
    for line, same in zip(first, again, strict=True):
        assert line.text == same.text
        np.testing.assert_array_equal(line.signal, same.signal)
    for other in (make_lines(kind, "train", 20, 8, processes=1), make_lines(kind, "test", 20, 7, processes=1)):
        assert [line.text for line in other] != [line.text for line in first]


def test_lines_are_as_the_network_wants_them() -> None:
    for line in make_lines("printed", "train", 60, 1, processes=1):
        assert line.signal.dtype == np.uint8
        assert line.signal.shape[0] == HEIGHT
        assert len(line.text) <= 28
        assert unknown_symbols(line.text) == ""


def test_lines_do_not_depend_on_the_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "CHUNK", 10)
    alone, together = (make_lines("digits", "test", 11, 2, processes=count) for count in (1, 2))
    assert [line.text for line in alone] == [line.text for line in together]
    assert all(np.array_equal(a.signal, b.signal) for a, b in zip(alone, together, strict=True))
