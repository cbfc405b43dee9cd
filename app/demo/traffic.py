"""An application that asks, gets answers, and says of each what would have been right."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.client import Hindsight, PredictionFailed
from app.events.types import Role
from app.settings import Settings
from models.base import Sample, Task

ACTOR = "demo"
_WAITING = 200
"""Requests without an answer, at most: a platform that can't keep up is not asked faster than it answers."""

Source = Literal["usual", "new"]


@dataclass(frozen=True)
class Answered:
    """One request that was answered; one that was not counts as a score of 0."""

    time: float
    """When it was asked, in seconds since 1970."""
    source: Source
    score: float
    version: str
    role: Role


class Traffic:
    """Samples of a task at an even rate, as long as it runs; corrections of all. The same samples for the same seed."""

    def __init__(self, settings: Settings, task: Task, per_second: float, seed: int) -> None:
        self._settings = settings
        self._task = task
        self._per_second = per_second
        self._streams: dict[Source, Iterator[Sample]] = {
            "usual": task.demonstration(seed),
            "new": task.drifted(seed),
        }
        self._rng = np.random.default_rng(seed)
        self.new_share = 0.0
        """The share of the requests that come from the new source."""
        self.answered: list[Answered] = []
        self.unanswered = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        window = asyncio.Semaphore(_WAITING)
        began, number = time.monotonic(), 0
        async with Hindsight(self._settings.bootstrap, source="demo") as client, asyncio.TaskGroup() as group:
            while True:
                source: Source = "new" if self._rng.random() < self.new_share else "usual"
                sample = await asyncio.to_thread(next, self._streams[source])  # some take a while to make
                await window.acquire()
                group.create_task(self._one(client, source, sample, window))
                number += 1
                await asyncio.sleep(max(0.0, began + number / self._per_second - time.monotonic()))

    async def _one(self, client: Hindsight, source: Source, sample: Sample, window: asyncio.Semaphore) -> None:
        asked = time.time()
        try:
            made = await client.predict(self._task.name, sample.payload, content_type=sample.content_type)
            score = self._task.score(made.output, sample.correction)
            self.answered.append(Answered(asked, source, score, made.model.version, made.role))
            await client.feedback(made.prediction_id, correction=sample.correction, actor=ACTOR)
        except (PredictionFailed, TimeoutError):
            self.unanswered += 1
        finally:
            window.release()


def mean(answered: Sequence[Answered]) -> float:
    """The mean score; NaN of none."""
    return float(np.mean([one.score for one in answered])) if answered else float("nan")
