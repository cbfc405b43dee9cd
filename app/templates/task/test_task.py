"""What the task owes: it reads what it should, says why it can't read the rest, and its model is worth its card."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.base import Rejected
from models.nn.onnx_inference import judge, session
from models.training import train

from . import NewTask

TASK = NewTask()
VERSION = Path(__file__).parent / "versions" / "1"


def test_the_model_is_worth_what_its_card_says() -> None:
    figures = json.loads((VERSION / "card.json").read_text())["figures"]
    measured = TASK.figures(judge(session((VERSION / "model.onnx").read_bytes()), TASK, list(TASK.held_out())))
    assert measured == pytest.approx(figures, abs=0.005)


def test_samples_are_read_and_their_truths_are_corrections() -> None:
    for sample in TASK.samples():
        assert TASK.preprocess(sample.payload)
        assert TASK.validate_correction(sample.correction) == sample.correction
        assert TASK.score(sample.correction, sample.correction) == 1


@pytest.mark.parametrize(("payload", "code"), [(b"\xff", "not_utf8"), (b"", "blank"), (b" \n", "blank")])
def test_what_can_not_be_read_is_rejected_with_the_reason(payload: bytes, code: str) -> None:
    with pytest.raises(Rejected) as caught:
        TASK.preprocess(payload)
    assert caught.value.code == code


@pytest.mark.parametrize("correction", [{}, {"label": "answer"}, {"label": ["question"]}, {"text": "question"}])
def test_corrections_that_can_not_be_true_are_refused(correction: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        TASK.validate_correction(correction)


def test_training_is_repeatable_and_gives_a_model_that_serves() -> None:
    pytest.importorskip("onnx")
    first, second = (train(TASK, None, None, 0, lambda doing, done, of: None) for _ in range(2))
    assert first == second
    assert TASK.figures(judge(session(first.model), TASK, list(TASK.held_out()))) == first.card["figures"]
