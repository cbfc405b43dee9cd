"""Made lines and shipped samples."""

from itertools import islice

import numpy as np
from PIL import Image

from models.small.ocr import Ocr
from models.small.ocr.data.lines import MAX_DIGITS, held_out_scans, make_payloads
from models.small.ocr.symbols import unknown_symbols


def test_payloads_are_distinct_lines_of_one_to_twelve_digits() -> None:
    payloads = make_payloads(60, 5)
    assert len({sample.payload for sample in payloads}) == len({sample.name for sample in payloads}) == 60
    for sample in payloads:
        text = sample.correction["text"]
        assert text.isdigit()
        assert 1 <= len(text) <= MAX_DIGITS
        assert sample.content_type == "image/png"


def test_payloads_depend_on_the_seed_alone() -> None:
    assert make_payloads(5, 1) == make_payloads(5, 1)
    assert make_payloads(5, 1)[0].payload != make_payloads(5, 2)[0].payload
    assert make_payloads(9, 1)[:5] == make_payloads(5, 1)


def test_the_demonstration_shows_digits_and_printed_lines_and_repeats_by_seed() -> None:
    shown = list(islice(Ocr().demonstration(3), 40))
    assert {sample.name.split("-")[0] for sample in shown} == {"digits", "printed"}
    assert [sample.payload for sample in shown] == [s.payload for s in islice(Ocr().demonstration(3), 40)]
    assert shown[0].payload != next(Ocr().demonstration(4)).payload


def test_samples_are_real_files_with_true_texts() -> None:
    samples = Ocr().samples()
    assert 8 <= len(samples) <= 12
    assert {sample.content_type for sample in samples} == {"image/png", "image/jpeg"}
    for sample in samples:
        assert unknown_symbols(sample.correction["text"]) == ""
        assert Ocr().preprocess(sample.payload)["image"].any()


def test_held_out_scans_show_every_digit() -> None:
    scans = held_out_scans()
    assert scans.images.shape == (360, 8, 8)
    assert set(scans.digits.tolist()) == set(range(10))
    assert Image.fromarray(scans.images[0] * 15).size == (8, 8)
    assert scans.images.max() == np.uint8(16)
