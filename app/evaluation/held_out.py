"""A version measured on its task's held-out set, beside what its card says: the figures of a card can be checked.

The same functions predict as when serving: the task's, and `app.inference.predictor`.
"""

import asyncio
import json
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
from app.settings import Settings
from app.tasks import load_task
from models.base import Asked, Judged, Rejected, Sample, Task

TOLERANCE = 0.005
"""A figure may differ by this much from the card's: processors round differently, and a few outputs with it."""

ProgressCallback = Callable[[int], None]
"""Told how many samples are done."""


@dataclass(frozen=True)
class MeasuredMetric:
    """One figure as it was measured now, and as the card has it; None where it has none."""

    name: str
    measured: float
    card_value: float | None

    @property
    def differs_from_card(self) -> bool:
        """Whether both are there, and apart by more than `TOLERANCE`."""
        return self.card_value is not None and not math.isclose(
            self.measured, self.card_value, rel_tol=0, abs_tol=TOLERANCE
        )


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a version, on how many samples."""

    model: ModelRef
    samples: int
    metrics: tuple[MeasuredMetric, ...]


def evaluate(settings: Settings, task_name: str, version: str | None, progress: ProgressCallback) -> Evaluation:
    """Measure a version; None is the one that serves. Raises `SetupError`."""
    task = load_task(settings, task_name)
    version, path = version_path(settings, task, version)
    said = _card_metrics(path.with_name("card.json"))
    model = ModelRef(name=task_name, version=version)
    judged = asyncio.run(_predict_held_out(settings, task, model, path, progress))
    measured = task.figures(judged)
    if not measured.keys() & said.keys():
        raise SetupError(
            f"The card of {task_name} {version} has none of the figures {', '.join(measured)}.",
            "Write into the card what the task's method `figures` says of its held-out set.",
        )
    figures = (MeasuredMetric(name, float(value), said.get(name)) for name, value in measured.items())
    return Evaluation(model, len(judged), tuple(figures))


def _card_metrics(path: Path) -> dict[str, float]:
    try:
        figures = json.loads(path.read_text())["figures"]
        return {str(name): float(value) for name, value in figures.items()}
    except FileNotFoundError:
        raise SetupError(f"There is no card {path}.", "A training writes it beside the model.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SetupError(
            f"{path} is no card: {type(error).__name__}: {error}.", 'It needs {"figures": {"name": number}}.'
        ) from error


async def _predict_held_out(
    settings: Settings, task: Task, model: ModelRef, path: Path, progress: ProgressCallback
) -> Sequence[Judged]:
    predictor = Predictor(task, LocalModel(path), max_attempts=1)
    samples, judged = held_out_samples(task), list[Judged]()
    while batch := list(islice(samples, settings.batch_size)):
        asked = [make_prediction_input(task, sample) for sample in batch]
        for sample, answer in zip(batch, await predictor(model, asked), strict=True):
            if isinstance(answer, Rejected):
                raise _prediction_error(task, sample, answer)
            judged.append(Judged(sample, answer.prediction))
        progress(len(judged))
    if not judged:
        raise SetupError(f"{task.name} has no held-out set.", "Write its method `held_out`, see models/base.py.")
    return judged


def make_prediction_input(task: Task, sample: Sample) -> Asked:
    """What a version is asked of a sample. Raises `SetupError`."""
    try:
        features = task.preprocess(sample.payload)
    except Rejected as error:
        raise _prediction_error(task, sample, error) from error
    return Asked(prediction_id(task.name, "hindsight/evaluate", sample.name), features)


def _prediction_error(task: Task, sample: Sample, error: Rejected) -> SetupError:
    return SetupError(
        f"{sample.name}, of the held-out set of {task.name}, can't be predicted: {error.code}: {error}.",
        "A held-out set holds only what the task reads: leave it out of there, or correct the task.",
    )


def held_out_samples(task: Task) -> Iterator[Sample]:
    """The samples of a task's held-out set. What making them lacks (a library, a font, a program) is said."""
    try:
        yield from task.held_out()
    except (ImportError, OSError) as error:
        raise SetupError(
            f"The held-out set of {task.name} can't be made: {error}.",
            "`make setup` installs what such sets are made of, the group `train` of pyproject.toml.",
        ) from error


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON."""
    return {
        "task": evaluation.model.name,
        "version": evaluation.model.version,
        "samples": evaluation.samples,
        "tolerance": TOLERANCE,
        "figures": {
            one.name: {"measured": one.measured, "card": one.card_value, "differs": one.differs_from_card}
            for one in evaluation.metrics
        },
    }
