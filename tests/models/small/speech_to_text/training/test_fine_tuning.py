"""A version of the log: from the shipped one, by what was said of its recordings."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import onnx
import pytest

import models.small.speech_to_text
from models import tensors
from models.base import Untrainable
from models.small.speech_to_text import SpeechToText
from models.small.speech_to_text.data.clips import HELD_OUT, shipped
from models.small.speech_to_text.data.rehearsal import rehearsal
from models.small.speech_to_text.train import train
from models.small.speech_to_text.training import trainer
from models.small.speech_to_text.training.network import FINE_PLAN
from models.small.speech_to_text.training.trainer import SpeechTrainer
from tests.support.datasets import write_dataset

TASKS = Path(models.small.speech_to_text.__file__).parents[1]
SHIPPED = TASKS / "speech_to_text/versions/1/model.onnx"
OCR = TASKS / "ocr/versions/1/model.onnx"
TASK = SpeechToText()
QUICK = replace(FINE_PLAN, epochs=1, columns=1_024, buckets=(512,))
TRAINER = SpeechTrainer(TASK, fine_plan=QUICK)


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few recordings are rehearsed, and a few are the held-out set."""
    samples = list(islice(TASK.held_out(), 4))
    monkeypatch.setattr(trainer, "rehearsal", lambda split: rehearsal(split)[:4])
    monkeypatch.setattr(SpeechToText, "held_out", lambda self: iter(samples))


def rows() -> list[dict[str, Any]]:
    """Clips that were heard rightly: corrected in other letters, or rewarded, two wrongly so.

    The text for validation has more than 16 symbols, as have those that are rehearsed: so one shape is compiled.
    """
    found = []
    for number, sample in enumerate(islice(shipped(HELD_OUT), 8)):
        features, declaration = tensors.encode(TASK.preprocess(sample.payload))
        said: dict[str, Any] = {"label": json.dumps({"text": sample.correction["text"].upper() + "."})}
        if number % 2 == 0:
            said = {"reward": 1.0 if number % 4 == 0 else -1.0}
        served = {"output": json.dumps(sample.correction), "propensity": 0.9}
        split = "validation" if number == 1 else "train"
        found.append({"features": features, "tensors": declaration, "split": split, **served, **said})
    return found


def test_the_same_arguments_give_the_same_bytes_and_the_card_says_where_they_come_from(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, rows(), content_hash="abc")
    (model, card), (again, _) = (TRAINER.fine_tuned(dataset, SHIPPED, 3, lambda *_: None) for _ in range(2))
    assert model.SerializeToString() == again.SerializeToString()
    assert (card["dataset"], card["seed"], card["rehearsed"]) == ("abc", 3, {"train": 4, "validation": 4})
    assert card["feedback"]["train corrections"] == 3
    assert card["feedback"]["train rewards"] == 4
    assert card["feedback"]["validation corrections"] == 1
    assert card["figures before"]["clips"] == card["figures"]["clips"] == 4
    json.dumps(card)


def test_the_parents_own_model_comes_back_where_nothing_is_better(tmp_path: Path) -> None:
    hasty = replace(TRAINER, fine_plan=replace(QUICK, rate=1.0))
    model, card = hasty.fine_tuned(write_dataset(tmp_path, rows()), SHIPPED, 0, lambda *_: None)
    assert card["way gone from the parent"] == 0
    assert model.SerializeToString() == onnx.load(SHIPPED).SerializeToString()
    assert card["figures"] == card["figures before"]


def test_a_parent_that_is_no_model_of_this_network_is_refused(tmp_path: Path) -> None:
    dataset, broken = write_dataset(tmp_path, rows()), tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(Untrainable, match="can't be read"):
        train(TASK, dataset, broken, 0, lambda *_: None)
    with pytest.raises(Untrainable, match="another shape"):
        train(TASK, dataset, OCR, 0, lambda *_: None)


def test_features_of_another_task_can_not_be_trained_on(tmp_path: Path) -> None:
    features, declaration = tensors.encode({"mels": TASK.preprocess(next(TASK.held_out()).payload)["mels"][:20]})
    dataset = write_dataset(tmp_path, [{**rows()[0], "features": features, "tensors": declaration}])
    with pytest.raises(Untrainable, match="of another task"):
        train(TASK, dataset, SHIPPED, 0, lambda *_: None)
