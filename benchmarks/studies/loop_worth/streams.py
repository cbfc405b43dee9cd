"""Thirty days of a task's requests whose source drifts: the same for the same seed.

The usual source is alone at first. A new one appears in steps and stays; another takes its place; then the usual source
is alone again, so that what was learned of it first is right once more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np

from app.events.ids import prediction_id
from models.base import Asked, Sample, Task

SourceName = Literal["usual", "new", "other"]
Samples = Iterator[Sample]
Output = Mapping[str, Any]

START = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST_SOURCE = "shop"


@dataclass(frozen=True)
class Phase:
    """A part of the stream in which a share of the requests comes from a second source."""

    end: float
    """As a share of the stream."""
    source: SourceName
    share: float


PHASES = (
    Phase(0.2, "new", 0.0),
    Phase(0.3, "new", 0.1),
    Phase(0.6, "new", 0.5),
    Phase(0.8, "other", 0.5),
    Phase(1.0, "usual", 0.0),
)


@dataclass(frozen=True)
class StreamedTask:
    """A task, and the sources of its requests."""

    task: Callable[[], Task]
    sources: Mapping[SourceName, Callable[[int], Samples]]
    """Each makes an endless source, given a seed."""
    rewards: Callable[[Sample], Mapping[str, float]] | None = None
    """Returns the probability of a reward of 1, instead of 0, by action; None where people give corrections."""

    def value(self, task: Task, sample: Sample, output: Output) -> float:
        """Return the score of an output; or what a policy earns on average, where it draws the output."""
        if self.rewards is None:
            return task.score(output, sample.correction)
        expected = self.rewards(sample)
        return float(sum(probability * expected[action] for action, probability in output["probabilities"].items()))


@dataclass(frozen=True)
class Request:
    """A request of the stream."""

    number: int
    time: datetime
    phase: int
    sample: Sample
    asked: Asked


def draw_stream(
    streamed: StreamedTask, days: int, requests: int, seed: int, phases: Sequence[Phase] = PHASES
) -> list[list[Request]]:
    """Return the requests of each day, the same for the same seed."""
    task, rng = streamed.task(), np.random.default_rng([seed, 30])
    sources = {name: make(seed) for name, make in streamed.sources.items()}
    stream = []
    for day in range(days):
        number = next(index for index, phase in enumerate(phases) if day < round(phase.end * days))
        phase = phases[number]
        names = ["usual" if rng.random() >= phase.share else phase.source for _ in range(requests)]
        stream.append(
            [
                _make_request(task, day * requests + index, timedelta(days=day + index / requests), number, sample)
                for index, sample in enumerate(next(sources[name]) for name in names)
            ]
        )
    return stream


def _make_request(task: Task, number: int, since: timedelta, phase: int, sample: Sample) -> Request:
    asked = Asked(prediction_id(task.name, REQUEST_SOURCE, str(number)), task.preprocess(sample.payload))
    return Request(number, START + since, phase, sample, asked)
