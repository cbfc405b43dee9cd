"""The traffic of the demonstration: an application that sends requests and corrects or rewards every answer."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.client import Hindsight, PredictionError
from app.events.types import Role
from app.kafka.connection import application_options
from app.settings import Settings
from models.base import Sample, Task

ACTOR = "demo"
_MAX_PENDING = 200
"""Bound of requests without an answer: a platform that can't keep up gets requests only as fast as it answers."""

TrafficSource = Literal["baseline", "new"]
FeedbackKind = Literal["corrections", "rewards"]
"""What people say of an answer: the right output, or only whether it is right (a reward of 1 or -1)."""


@dataclass(frozen=True)
class AnsweredRequest:
    """A request that was answered, with the score of its prediction."""

    time: float
    """When it was sent, in seconds since 1970."""
    source: TrafficSource
    score: float
    version: str
    role: Role


class TrafficGenerator:
    """Sends samples of a task at an even rate, with feedback on every answer. The seed determines the samples."""

    def __init__(
        self, settings: Settings, task: Task, per_second: float, seed: int, feedback: FeedbackKind = "corrections"
    ) -> None:
        self._settings = settings
        self._task = task
        self._per_second = per_second
        self._feedback = feedback
        self._streams: dict[TrafficSource, Iterator[Sample]] = {
            "baseline": task.demonstration(seed),
            "new": task.drifted(seed),
        }
        self._rng = np.random.default_rng(seed)
        self.new_share = 0.0
        """The share of the requests that come from the new source."""
        self.answered: list[AnsweredRequest] = []
        self.unanswered = 0

    async def run(self) -> None:
        """Send requests until cancelled."""
        pending_slots = asyncio.Semaphore(_MAX_PENDING)
        began, number = time.monotonic(), 0
        kafka = application_options(self._settings)
        async with (
            Hindsight(self._settings.bootstrap, source="demo", kafka=kafka) as client,
            asyncio.TaskGroup() as group,
        ):
            while True:
                source: TrafficSource = "new" if self._rng.random() < self.new_share else "baseline"
                sample = await asyncio.to_thread(next, self._streams[source])  # some samples are slow to generate
                await pending_slots.acquire()
                group.create_task(self._send_sample(client, source, sample, pending_slots))
                number += 1
                await asyncio.sleep(max(0.0, began + number / self._per_second - time.monotonic()))

    async def _send_sample(
        self, client: Hindsight, source: TrafficSource, sample: Sample, pending_slots: asyncio.Semaphore
    ) -> None:
        sent = time.time()
        try:
            prediction = await client.predict(self._task.name, sample.payload, content_type=sample.content_type)
            score = self._task.score(prediction.output, sample.correction)
            self.answered.append(AnsweredRequest(sent, source, score, prediction.model.version, prediction.role))
            if self._feedback == "corrections":
                await client.feedback(prediction.prediction_id, correction=sample.correction, actor=ACTOR)
            else:
                await client.feedback(prediction.prediction_id, reward=1.0 if score == 1.0 else -1.0, actor=ACTOR)
        except (PredictionError, TimeoutError):
            self.unanswered += 1
        finally:
            pending_slots.release()


def mean_score(answered: Sequence[AnsweredRequest]) -> float:
    """Return the mean score; NaN without requests."""
    return float(np.mean([request.score for request in answered])) if answered else float("nan")
