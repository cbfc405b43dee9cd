"""What the task owes: it reads what it should, says why it can't read the rest, and its model is worth its card."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from models.base import Asked, Judged, Rejected, Sample
from models.training import train

from . import NewTask

TASK = NewTask()
VERSION = Path(__file__).parent / "versions" / "1"


def judged(model: bytes, samples: Sequence[Sample]) -> list[Judged]:
    """What a model says of samples, all in one batch."""
    asked = [Asked(sample.name, TASK.preprocess(sample.payload)) for sample in samples]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    inputs = [TASK.inputs(one.features) for one in asked]
    outputs = session.run(None, {name: np.stack([one[name] for one in inputs]) for name in inputs[0]})
    named = dict(zip([output.name for output in session.get_outputs()], outputs, strict=True))
    return [Judged(sample, one) for sample, one in zip(samples, TASK.decode(named, asked), strict=True)]


def test_the_model_is_worth_what_its_card_says() -> None:
    figures = json.loads((VERSION / "card.json").read_text())["figures"]
    measured = TASK.figures(judged((VERSION / "model.onnx").read_bytes(), list(TASK.held_out())))
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
    assert TASK.figures(judged(first.model, list(TASK.held_out()))) == first.card["figures"]
