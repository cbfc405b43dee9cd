"""Shadows: what versions on trial say of requests that are answered already.

They give way: no answer waits for them, and what they can't keep up with is left out and counted.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from app.events.answers import failed
from app.events.base import ModelRef
from app.events.cloudevents import Event, Incoming, Record
from app.events.ids import shadow_id
from app.events.types import Failure
from app.inference.handler import STAGE, answer, read
from app.inference.mlserver.client import InferenceClient
from app.inference.predictor import Predicted, Predictor
from app.monitoring import metrics
from app.registry.routes import Ask
from app.settings import Settings
from app.streams.delivery import Publish
from models.base import Asked, Features, Rejected, Task

log = logging.getLogger(__name__)

MOST_BATCHES = 8
"""So many answered batches may wait."""


class Shadows:
    """Predicts with a task's shadows, and publishes what they say."""

    def __init__(self, settings: Settings, task: Task, route: Ask, publish: Publish) -> None:
        self._settings = settings
        self._task = task
        self._route = route
        self._publish = publish
        self._waiting: asyncio.Queue[Sequence[Incoming]] = asyncio.Queue(MOST_BATCHES)

    def heard(self, batch: Sequence[Incoming]) -> None:
        """Take in features that are answered."""
        try:
            self._waiting.put_nowait(batch)
        except asyncio.QueueFull:
            self._count("", "left_out", len(batch))

    async def run(self) -> None:
        """Predict, for ever."""
        async with InferenceClient(self._settings) as client:
            predictor = Predictor(self._task, client, attempts=1)
            while True:
                batch = await self._waiting.get()
                for version in (await self._route()).shadows:
                    await self._try(predictor, version, batch)

    async def _try(self, predictor: Predictor, version: str, batch: Sequence[Incoming]) -> None:
        model = ModelRef(name=self._task.name, version=version)
        asked: list[tuple[Incoming, Event, Features]] = []
        for incoming in batch:
            with suppress(Rejected):  # it is in dead-letters already
                event, features = read(incoming)
                if "partial" not in event.extensions:
                    asked.append((incoming, event, features))
        try:
            said = await predictor(model, [Asked(shadow_id(event.id, version), found) for _, event, found in asked])
        except Exception as error:  # it is away, or the task's own code fails: nobody who is answered may suffer
            log.warning("%s %s says nothing of %d events: %r", model.name, version, len(asked), error)
            self._count(version, "left_out", len(asked))
            return
        records = [
            self._said(model, incoming, event, predicted)
            for (incoming, event, _), predicted in zip(asked, said, strict=True)
        ]
        errors = await self._publish(records)
        lost = sum(error is not None for error in errors)
        self._count(version, "left_out", lost)
        self._count(version, "said", len(records) - lost)

    def _said(self, model: ModelRef, incoming: Incoming, event: Event, predicted: Predicted | Rejected) -> Record:
        try:
            if isinstance(predicted, Rejected):
                raise predicted
            record, timings = answer(model, "shadow", event, incoming.key, predicted)
            latency = metrics.LATENCY.labels(model.name, model.version, "shadow", "inference")
            latency.observe(timings["inference"] / 1000)
            return record
        except Rejected as error:
            failure = Failure(stage=STAGE, code=error.code, reason=str(error))
            request = (event.extensions["requestsource"], event.extensions["requestid"])
            return failed(model.name, request, failure, None, incoming.key, event, (model, "shadow"))

    def _count(self, version: str, outcome: str, events: int) -> None:
        metrics.SHADOWS.labels(self._task.name, version, outcome).inc(events)
