"""The task's contract: what it imports, pads, decodes, accepts as a correction and how it scores."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Asked, Rejected
from models.nn.ctc import label_probabilities
from models.small.ocr import Ocr
from models.small.ocr.symbols import BLANK, CLASSES, SYMBOLS, decode, encode, unknown_symbols
from models.small.ocr.task import MAX_TEXT, WIDTHS

TASK = Ocr()
texts = st.text(SYMBOLS, max_size=30)


def test_serving_needs_none_of_the_training_libraries() -> None:
    heavy = "{'jax', 'optax', 'onnx', 'sklearn', 'matplotlib', 'pandas', 'scipy'}"
    code = (
        "import sys; from models.small.ocr import Ocr; task = Ocr(); sample = task.samples()[0];"
        "task.preprocess(sample.payload); next(task.demonstration(0));"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(texts)
def test_symbols_come_back_from_their_numbers(text: str) -> None:
    numbers = encode(text)
    assert decode(numbers) == text
    assert all(BLANK < number < CLASSES for number in numbers)
    assert unknown_symbols(text) == ""


def outputs_saying(text: str, certainty: float = 0.99) -> dict[str, Any]:
    """Each symbol in a frame of its own with blanks between, and two frames of padding that say something else."""
    numbers = [BLANK, *(number for symbol in encode(text) for number in (symbol, BLANK))]
    probabilities = np.full((1, len(numbers) + 2, CLASSES), (1 - certainty) / (CLASSES - 1), np.float32)
    probabilities[0, np.arange(len(numbers)), numbers] = certainty
    probabilities[0, len(numbers) :, 5] = certainty
    return {"log_probs": np.log(probabilities), "length": np.array([len(numbers)], np.int32)}


@given(texts)
def test_decode_reads_what_the_outputs_say_and_no_padding(text: str) -> None:
    (decoded,) = TASK.decode(outputs_saying(text), [])
    assert decoded.output == {"text": text}
    assert decoded.propensity == 1.0
    assert 0.5 < decoded.confidence <= 1.0


@given(explore=st.floats(0.0, 1.0), text=texts)
def test_explored_or_not_the_confidence_is_that_of_the_served_text(explore: float, text: str) -> None:
    outputs = outputs_saying(text, 0.6)
    (served,) = Ocr(explore).decode(outputs, [Asked("ocr:1", {"image": np.ones((24, 8), np.uint8)})])
    labels = [encode(served.output["text"])]
    (probability,) = label_probabilities(outputs["log_probs"], outputs["length"], labels)
    assert served.confidence == pytest.approx(probability)
    best = served.output["text"] == text
    assert served.propensity == pytest.approx((1 - explore) * best + explore * probability)


def test_nothing_in_a_picture_without_content_is_said_with_little_confidence() -> None:
    blank, lines = (Asked("ocr:1", {"image": np.full((24, 8), level, np.uint8)}) for level in (0, 200))
    (unsure,), (sure,) = (TASK.decode(outputs_saying("Room 12"), [event]) for event in (blank, lines))
    assert unsure.confidence <= 0.1 < sure.confidence


def test_an_exploration_that_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Ocr(explore=1.5)


def test_less_certain_outputs_give_less_confidence() -> None:
    (sure,), (unsure,) = TASK.decode(outputs_saying("Room 12"), []), TASK.decode(outputs_saying("Room 12", 0.6), [])
    assert unsure.confidence < sure.confidence


@given(width=st.integers(1, 1024))
def test_lines_are_padded_to_the_next_step(width: int) -> None:
    padded = TASK.padded({"image": (24, width), "width": ()})
    assert padded["width"] == ()
    assert padded["image"][0] == 24
    assert padded["image"][1] == min(wide for wide in WIDTHS if wide >= width)


@given(truth=texts, text=texts)
def test_scores_lie_between_0_and_1_and_only_the_truth_is_perfect(truth: str, text: str) -> None:
    score = TASK.score({"text": text}, {"text": truth})
    assert 0.0 <= score <= 1.0
    assert (score == 1.0) == (text == truth)


@given(truth=st.text(SYMBOLS, min_size=1, max_size=20), place=st.integers(0, 19))
def test_each_wrong_symbol_costs_its_share_of_the_text(truth: str, place: int) -> None:
    place %= len(truth)
    wrong = f"{truth[:place]}#{truth[place + 1 :]}"
    assert TASK.score({"text": wrong}, {"text": truth}) == pytest.approx(1 - 1 / len(truth))


@given(texts)
def test_a_correction_in_canonical_form_stays_as_it_is(text: str) -> None:
    canonical = TASK.validate_correction({"text": text})
    assert canonical == {"text": text.strip()}
    assert TASK.validate_correction(canonical) == canonical


@pytest.mark.parametrize(
    ("correction", "code"),
    [
        ({}, "missing_text"),
        ({"text": None}, "missing_text"),
        ({"text": 12}, "missing_text"),
        ({"text": "12", "boxes": []}, "unknown_field"),
        ({"text": "7" * (MAX_TEXT + 1)}, "text_too_long"),
        ({"text": "Zürich"}, "unknown_symbol"),
        ({"text": "a\tb"}, "unknown_symbol"),
    ],
)
def test_corrections_that_cannot_be_true_are_refused_with_the_reason(correction: dict[str, Any], code: str) -> None:
    with pytest.raises(Rejected) as caught:
        TASK.validate_correction(correction)
    assert caught.value.code == code
