"""The figures of a card: what they count, and that the held-out set as files is the one that training measures on."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import models.small.ocr
from models.base import Decoded, EvaluatedSample, Sample
from models.small.ocr import Ocr
from models.small.ocr.data.generation import HELD_OUT_SEED, make_lines
from models.small.ocr.metrics import DIGITS, PRINTED

TASK = Ocr()


def judged(group: str, truth: str, text: str, confidence: float) -> EvaluatedSample:
    sample = Sample("line.png", b"", "image/png", {"text": truth}, group)
    return EvaluatedSample(sample, Decoded({"text": text}, confidence))


def test_each_group_has_its_error_rate_its_lines_right_and_its_size() -> None:
    lines = [judged(DIGITS, "12", "13", 0.5), judged(DIGITS, "123456", "123456", 1.0), judged(PRINTED, "ab", "ab", 1.0)]
    figures = TASK.figures(lines)
    assert figures["cer_held_out_digit_lines"] == pytest.approx(1 / 8)
    assert figures["cer_unseen_fonts"] == 0
    assert figures["lines_right_held_out_digits"] == 0.5
    assert (figures["held_out_digit_lines"], figures["unseen_font_lines"]) == (2, 1)
    assert figures["ece"] == pytest.approx(0.5 / 3)
    assert figures["ece_held_out_digit_lines"] == pytest.approx(0.25)
    assert figures["ece_unseen_fonts"] == 0


def test_the_held_out_set_as_files_is_the_lines_that_training_measures_on() -> None:
    first = list(islice(TASK.held_out(), 30))
    assert {sample.group for sample in first} == {DIGITS}
    lines = make_lines("digits", "test", len(first), HELD_OUT_SEED, processes=1)
    for sample, line in zip(first, lines, strict=True):
        assert sample.correction == {"text": line.text}
        np.testing.assert_array_equal(TASK.preprocess(sample.payload)["image"], line.signal)


def test_the_shipped_card_has_every_figure_that_is_measured() -> None:
    card = json.loads((Path(models.small.ocr.__file__).parent / "versions" / "1" / "card.json").read_text())
    figures = TASK.figures([judged(DIGITS, "1", "1", 1.0), judged(PRINTED, "a", "a", 1.0)])
    assert figures.keys() <= card["figures"].keys()
