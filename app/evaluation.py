"""A version measured on its task's held-out set, beside what its card says: the figures of a card can be checked.

The same functions predict as when serving: the task's, and `app.inference.predict`.
"""

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from app.embedded.errors import SetupError
from app.events import ModelRef, prediction_id
from app.inference.local import LocalModel
from app.inference.predict import Predictor
from app.registry.versions import version_file
from app.settings import Settings
from app.tasks import named
from models.base import Asked, EvaluatedSample, Rejected, Sample, Task

TOLERANCE = 0.005
"""A figure may differ by this much from the card's: processors round differently, and a few outputs with it."""

Progress = Callable[[int], None]
"""Told how many samples are done."""


@dataclass(frozen=True)
class Figure:
    """One figure as it was measured now, and as the card has it; None where it has none."""

    name: str
    measured: float
    card: float | None

    @property
    def differs(self) -> bool:
        """Whether both are there, and apart by more than `TOLERANCE`."""
        return self.card is not None and not math.isclose(self.measured, self.card, rel_tol=0, abs_tol=TOLERANCE)


@dataclass(frozen=True)
class Evaluation:
    """What was measured of a version, on how many samples."""

    model: ModelRef
    samples: int
    figures: tuple[Figure, ...]


def evaluate(settings: Settings, task_name: str, version: str | None, progress: Progress) -> Evaluation:
    """Measure a version; None is the one that serves. Raises `SetupError`."""
    task = named(settings, task_name)
    version, path = version_file(settings, task, version)
    said = _card_figures(path.with_name("card.json"))
    model = ModelRef(name=task_name, version=version)
    judged = asyncio.run(_judged(settings, task, model, path, progress))
    measured = task.figures(judged)
    if not measured.keys() & said.keys():
        raise SetupError(
            f"The card of {task_name} {version} has none of the figures {', '.join(measured)}.",
            "Write into the card what the task's method `figures` says of its held-out set.",
        )
    figures = (Figure(name, float(value), said.get(name)) for name, value in measured.items())
    return Evaluation(model, len(judged), tuple(figures))


def _card_figures(path: Path) -> dict[str, float]:
    try:
        figures = json.loads(path.read_text())["figures"]
        return {str(name): float(value) for name, value in figures.items()}
    except FileNotFoundError:
        raise SetupError(f"There is no card {path}.", "A training writes it beside the model.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SetupError(
            f"{path} is no card: {type(error).__name__}: {error}.", 'It needs {"figures": {"name": number}}.'
        ) from error


async def _judged(
    settings: Settings, task: Task, model: ModelRef, path: Path, progress: Progress
) -> Sequence[EvaluatedSample]:
    predictor = Predictor(task, LocalModel(path), attempts=1)
    samples, judged = held_out_samples(task), list[EvaluatedSample]()
    while batch := list(islice(samples, settings.batch_size)):
        asked = [asked_of(task, sample) for sample in batch]
        for sample, answer in zip(batch, await predictor(model, asked), strict=True):
            if isinstance(answer, Rejected):
                raise _unpredicted(task, sample, answer)
            judged.append(EvaluatedSample(sample, answer.decoded))
        progress(len(judged))
    if not judged:
        raise SetupError(f"{task.name} has no held-out set.", "Write its method `held_out`, see models/base.py.")
    return judged


def asked_of(task: Task, sample: Sample) -> Asked:
    """What a version is asked of a sample. Raises `SetupError`."""
    try:
        features = task.preprocess(sample.payload)
    except Rejected as error:
        raise _unpredicted(task, sample, error) from error
    return Asked(prediction_id(task.name, "hindsight/evaluate", sample.name), features)


def _unpredicted(task: Task, sample: Sample, error: Rejected) -> SetupError:
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


def described(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON."""
    return {
        "task": evaluation.model.name,
        "version": evaluation.model.version,
        "samples": evaluation.samples,
        "tolerance": TOLERANCE,
        "figures": {
            one.name: {"measured": one.measured, "card": one.card, "differs": one.differs} for one in evaluation.figures
        },
    }
