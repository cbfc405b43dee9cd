"""The tests of trainers and cards catch what breaks a promise."""

import itertools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.templates.scaffold import TEMPLATE_DIRECTORY
from app.templates.task import NewTask
from app.testing import TrainingTests, training_tests
from models.base import Trained
from models.training import train


class TestTemplate(TrainingTests):
    task = NewTask()


def train_with(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Replace what every training returns by a changed copy of it; a callable value is called for each training."""
    trained = train(NewTask(), None, None, 0, lambda step, done, total: None)

    def fake_train(*arguments: Any) -> Trained:
        card = trained.card | {name: value() if callable(value) else value for name, value in changes.items()}
        return Trained(trained.model, card)

    monkeypatch.setattr(training_tests, "train", fake_train)


def test_a_training_that_is_not_repeatable_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    train_with(monkeypatch, run=itertools.count().__next__)
    with pytest.raises(AssertionError, match="two trainings with one seed differ"):
        TestTemplate().test_training_is_repeatable_and_gives_a_model_with_the_figures_of_its_card()


def test_a_trained_card_with_other_figures_than_its_model_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    train_with(monkeypatch, figures={"score_held_out": 0.1})
    with pytest.raises(AssertionError, match=r"score_held_out is 0\.8.*, its card has 0\.1"):
        TestTemplate().test_training_is_repeatable_and_gives_a_model_with_the_figures_of_its_card()


@pytest.mark.parametrize(("figures", "error"), [({"score_held_out": 0.5}, AssertionError), ({}, KeyError)])
def test_a_shipped_card_without_the_figures_of_its_model_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Mapping[str, float], error: type[Exception]
) -> None:
    shutil.copytree(TEMPLATE_DIRECTORY / "versions" / "1", tmp_path / "1")
    (tmp_path / "1" / "card.json").write_text(json.dumps({"figures": figures}))
    versions = {"1": tmp_path / "1" / "model.onnx"}
    monkeypatch.setattr(training_tests, "shipped_versions", lambda task: versions)
    with pytest.raises(error, match="score_held_out"):
        TestTemplate().test_shipped_versions_have_the_figures_of_their_cards()
