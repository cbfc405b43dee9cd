"""Evaluation of a version on its task's held-out set, and comparison with the figures in its card.

The functions that serve make the predictions: the task's, and `app.inference.predictor`.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.events.base import ModelRef
from app.events.ids import prediction_id
from app.inference.local_model import LocalModel
from app.inference.predictor import Predictor
from app.registry.artifacts import version_path
from app.registry.cards import card_figures, parse_card
from app.settings import Settings
from app.tasks import load_task
from models.base import Asked, EvaluatedSample, Rejected, Sample, Task

TOLERANCE = 0.005
"""Tolerated difference from the card's figure: processors round differently, which changes a few outputs."""

ProgressCallback = Callable[[int], None]
"""Called with the number of finished samples."""


@dataclass(frozen=True)
class MeasuredMetric:
    """A measured figure and the card's, which is None if the card has none."""

    name: str
    measured: float
    card_value: float | None

    @property
    def differs_from_card(self) -> bool:
        """Whether the card's figure differs by more than `TOLERANCE`."""
        return self.card_value is not None and not math.isclose(
            self.measured, self.card_value, rel_tol=0, abs_tol=TOLERANCE
        )


@dataclass(frozen=True)
class Evaluation:
    """The measured figures of a version, and the number of samples."""

    model: ModelRef
    samples: int
    metrics: tuple[MeasuredMetric, ...]


def evaluate(settings: Settings, task_name: str, version: str | None, progress: ProgressCallback) -> Evaluation:
    """Evaluate a version; None is the newest shipped one. Raises `SetupError`."""
    task = load_task(settings, task_name)
    version, path = version_path(settings, task, version)
    card_metrics = _card_metrics(path.with_name("card.json"))
    model = ModelRef(name=task_name, version=version)
    judged = asyncio.run(_predict_held_out(settings, task, model, path, progress))
    measured = task.figures(judged)
    figures = (MeasuredMetric(name, float(value), card_metrics.get(name)) for name, value in measured.items())
    return Evaluation(model, len(judged), tuple(figures))


def _card_metrics(path: Path) -> dict[str, float]:
    if not path.exists():
        raise SetupError(f"There is no card {path}.", "Train the version: the card is written beside the model.")
    return card_figures(parse_card(path.read_bytes(), str(path)), str(path))


async def _predict_held_out(
    settings: Settings, task: Task, model: ModelRef, path: Path, progress: ProgressCallback
) -> Sequence[EvaluatedSample]:
    predictor = Predictor(task, LocalModel(path), max_attempts=1)
    samples, judged = held_out_samples(task), list[EvaluatedSample]()
    while batch := list(islice(samples, settings.batch_size)):
        inputs = [make_prediction_input(task, sample) for sample in batch]
        for sample, result in zip(batch, await predictor(model, inputs), strict=True):
            if isinstance(result, Rejected):
                raise _prediction_error(task, sample, result)
            judged.append(EvaluatedSample(sample, result.prediction))
        progress(len(judged))
    if not judged:
        raise SetupError(f"{task.name} has no held-out set.", "Write its method `held_out`, see models/base.py.")
    return judged


def make_prediction_input(task: Task, sample: Sample) -> Asked:
    """Return the input of a prediction for a sample. Raises `SetupError`."""
    try:
        features = task.preprocess(sample.payload)
    except Rejected as error:
        raise _prediction_error(task, sample, error) from error
    return Asked(prediction_id(task.name, "hindsight/evaluate", sample.name), features)


def _prediction_error(task: Task, sample: Sample, error: Rejected) -> SetupError:
    return SetupError(
        f"The sample {sample.name} of {task.name} can't be predicted: {error.code}: {error}.",
        "Remove it from the task's samples, or correct the task.",
    )


def held_out_samples(task: Task) -> Iterator[Sample]:
    """Yield the samples of a task's held-out set. Raises `SetupError` if a library, a font or a program is missing."""
    try:
        yield from task.held_out()
    except (ImportError, OSError) as error:
        raise SetupError(
            f"The held-out set of {task.name} can't be made: {error}.",
            "Run `make setup`, which installs the group `train` of pyproject.toml.",
        ) from error


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation as JSON."""
    return {
        "task": evaluation.model.name,
        "version": evaluation.model.version,
        "samples": evaluation.samples,
        "tolerance": TOLERANCE,
        "figures": {
            metric.name: {"measured": metric.measured, "card": metric.card_value, "differs": metric.differs_from_card}
            for metric in evaluation.metrics
        },
    }
