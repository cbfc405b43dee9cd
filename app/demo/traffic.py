"""An application that asks, gets answers, and says of each what would have been right."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.client import Hindsight, PredictionError
from app.events.types import Role
from app.settings import Settings
from models.base import Sample, Task

ACTOR = "demo"
_MAX_PENDING = 200
"""Requests without an answer, at most: a platform that can't keep up is not asked faster than it answers."""

TrafficSource = Literal["usual", "new"]


@dataclass(frozen=True)
class AnsweredRequest:
    """One request that was answered; one that was not counts as a score of 0."""

    time: float
    """When it was asked, in seconds since 1970."""
    source: TrafficSource
    score: float
    version: str
    role: Role


class TrafficGenerator:
    """Samples of a task at an even rate, as long as it runs; corrections of all. The same samples for the same seed."""

    def __init__(self, settings: Settings, task: Task, per_second: float, seed: int) -> None:
        self._settings = settings
        self._task = task
        self._per_second = per_second
        self._streams: dict[TrafficSource, Iterator[Sample]] = {
            "usual": task.demonstration(seed),
            "new": task.drifted(seed),
        }
        self._rng = np.random.default_rng(seed)
        self.new_share = 0.0
        """The share of the requests that come from the new source."""
        self.answered: list[AnsweredRequest] = []
        self.unanswered = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        window = asyncio.Semaphore(_MAX_PENDING)
        began, number = time.monotonic(), 0
        async with Hindsight(self._settings.bootstrap, source="demo") as client, asyncio.TaskGroup() as group:
            while True:
                source: TrafficSource = "new" if self._rng.random() < self.new_share else "usual"
                sample = await asyncio.to_thread(next, self._streams[source])  # some take a while to make
                await window.acquire()
                group.create_task(self._send_sample(client, source, sample, window))
                number += 1
                await asyncio.sleep(max(0.0, began + number / self._per_second - time.monotonic()))

    async def _send_sample(
        self, client: Hindsight, source: TrafficSource, sample: Sample, window: asyncio.Semaphore
    ) -> None:
        asked = time.time()
        try:
            made = await client.predict(self._task.name, sample.payload, content_type=sample.content_type)
            score = self._task.score(made.output, sample.correction)
            self.answered.append(AnsweredRequest(asked, source, score, made.model.version, made.role))
            await client.feedback(made.prediction_id, correction=sample.correction, actor=ACTOR)
        except (PredictionError, TimeoutError):
            self.unanswered += 1
        finally:
            window.release()


def mean_score(answered: Sequence[AnsweredRequest]) -> float:
    """The mean score; NaN of none."""
    return float(np.mean([one.score for one in answered])) if answered else float("nan")
