"""Tests of a trainer and of model cards, for tasks that train in seconds. Derive a class, as from `TaskTests`."""

import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar
from unittest import SkipTest

from app.registry.shipped import shipped_versions
from models.base import Task, Trained
from models.nn.onnx_inference import judge, session
from models.runtimes import open_version
from models.training import train

TOLERANCE = 0.005
"""A figure may differ by this much from the card's, because processors round differently."""


class TrainingTests:
    """Tests of the trainer and the shipped versions of a task."""

    task: ClassVar[Task]

    def test_shipped_versions_have_the_figures_of_their_cards(self) -> None:
        for path in shipped_versions(self.task).values():
            self._check_figures(open_version(path), json.loads(path.with_name("card.json").read_text()))

    def test_training_is_repeatable_and_gives_a_model_with_the_figures_of_its_card(self) -> None:
        trained = self._train()
        assert trained == self._train(), "two trainings with one seed differ"
        self._check_figures(session(trained.model), trained.card)

    def _train(self) -> Trained:
        try:
            return train(self.task, None, None, 0, lambda step, done, total: None)
        except ImportError as error:
            raise SkipTest(f"a training library is missing: {error}") from error

    def _check_figures(self, model: Any, card: Mapping[str, Any]) -> None:
        for name, value in self.task.figures(judge(model, self.task, list(self.task.held_out()))).items():
            figure = card["figures"][name]
            assert math.isclose(value, figure, rel_tol=0, abs_tol=TOLERANCE), (
                f"{name} is {value}, its card has {figure}"
            )
