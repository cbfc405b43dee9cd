"""Evaluation of a version on its held-out set, against its card."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import SetupError
from app.evaluation.held_out import TOLERANCE, MeasuredMetric, evaluate, to_json
from app.settings import CHECKOUT, Settings

MODEL = CHECKOUT / "tests" / "support" / "versions" / "1" / "model.onnx"

TASK = """
from models.base import Sample
from tests.support.tasks import Letters

class Measured(Letters):
    name = "measured"

    def held_out(self):
        {held_out}
        for payload, total in ((b"a", 97.0), (b"ab", 195.0), (b"abc", 294.0), (b"b", 1.0)):
            yield Sample(payload.decode(), payload, "text/plain", {{"sum": total}}, "sums")
"""

MakeSettings = Callable[..., Settings]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSettings:
    """Make the settings of a task with one version and a card; three of its four held-out sums are true."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(card: str | None = '{"figures": {"score_sums": 0.75}}', held_out: str = "") -> Settings:
        module = f"measured_{tmp_path.name}"
        version = tmp_path / module / "versions" / "1"
        version.mkdir(parents=True)
        shutil.copy(MODEL, version / "model.onnx")
        if card is not None:
            (version / "card.json").write_text(card)
        (tmp_path / module / "__init__.py").write_text(TASK.format(held_out=held_out))
        return Settings(tasks={"measured": f"{module}:Measured"}, batch_size=3)

    return make


def test_measured_figures_are_compared_with_the_cards(measured: MakeSettings) -> None:
    done: list[int] = []
    found = evaluate(measured(), "measured", None, done.append)
    assert to_json(found) == {
        "task": "measured",
        "version": "1",
        "samples": 4,
        "tolerance": TOLERANCE,
        "figures": {"score_sums": {"measured": 0.75, "card": 0.75, "differs": False}},
    }
    assert done == [3, 4]


@pytest.mark.parametrize("card", ["{}", '{"figures": {"seconds": 2}}'])
def test_a_version_is_measured_without_figures_to_compare_with(measured: MakeSettings, card: str) -> None:
    [metric] = evaluate(measured(card=card), "measured", None, lambda done: None).metrics
    assert (metric.name, metric.measured, metric.card_value) == ("score_sums", 0.75, None)


@pytest.mark.parametrize(
    ("card", "differs"),
    [(0.75 + TOLERANCE / 2, False), (0.75 + 2 * TOLERANCE, True), (float("nan"), True), (None, False)],
)
def test_a_figure_differs_beyond_the_tolerance(card: float | None, differs: bool) -> None:
    assert MeasuredMetric("score", 0.75, card).differs_from_card is differs


@pytest.mark.parametrize(
    ("made", "task", "version", "says"),
    [
        ({}, "other", None, "There is no task 'other'"),
        ({}, "measured", "7", "measured has no version '7'"),
        ({"card": None}, "measured", None, "There is no card"),
        ({"card": '{"figures": []}'}, "measured", "1", "is not a valid card"),
        ({"card": "[]"}, "measured", "1", "is not a valid card"),
        ({"held_out": "return"}, "measured", None, "measured has no held-out set"),
        ({"held_out": "raise FileNotFoundError('no font')"}, "measured", None, "can't be made: no font"),
        (
            {"held_out": 'yield Sample("x", bytes([200]), "", {})'},
            "measured",
            None,
            "The sample x of measured can't be predicted: not_ascii",
        ),
        ({"held_out": 'yield Sample("x", b"refuse", "", {})'}, "measured", None, "can't be predicted: model_refused"),
    ],
)
def test_failures_of_the_evaluation_are_reported(
    measured: MakeSettings, made: dict[str, Any], task: str, version: str | None, says: str
) -> None:
    with pytest.raises(SetupError) as caught:
        evaluate(measured(**made), task, version, lambda done: None)
    assert says in caught.value.message
    assert caught.value.remedy
