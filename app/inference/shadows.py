"""Shadows: what versions on trial say of requests that are answered already.

They give way: no answer waits for them, and what they can't keep up with is left out and counted.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from app.events.answers import build_failed_prediction
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Event, Record
from app.events.ids import shadow_id
from app.events.types import Failure
from app.inference.handler import STAGE, build_prediction, read_features
from app.inference.mlserver.client import InferenceClient
from app.inference.predictor import PredictionResult, Predictor
from app.monitoring import metrics
from app.registry.routes import RouteLookup
from app.settings import Settings
from app.streams.delivery import BatchPublisher
from models.base import Asked, Features, Rejected, Task

log = logging.getLogger(__name__)

MAX_WAITING_BATCHES = 8
"""So many answered batches may wait."""


class ShadowPredictor:
    """Predicts with a task's shadows, and publishes what they say."""

    def __init__(self, settings: Settings, task: Task, route: RouteLookup, publish: BatchPublisher) -> None:
        self._settings = settings
        self._task = task
        self._route = route
        self._publish = publish
        self._queue: asyncio.Queue[Sequence[ConsumedRecord]] = asyncio.Queue(MAX_WAITING_BATCHES)

    def submit(self, batch: Sequence[ConsumedRecord]) -> None:
        """Take in features that are answered."""
        try:
            self._queue.put_nowait(batch)
        except asyncio.QueueFull:
            self._count("", "left_out", len(batch))

    async def run(self) -> None:
        """Predict, for ever."""
        async with InferenceClient(self._settings) as client:
            predictor = Predictor(self._task, client, max_attempts=1)
            while True:
                batch = await self._queue.get()
                for version in (await self._route()).shadows:
                    await self._predict(predictor, version, batch)

    async def _predict(self, predictor: Predictor, version: str, batch: Sequence[ConsumedRecord]) -> None:
        model = ModelRef(name=self._task.name, version=version)
        asked: list[tuple[ConsumedRecord, Event, Features]] = []
        for incoming in batch:
            with suppress(Rejected):  # it is in dead-letters already
                event, features = read_features(incoming)
                if "partial" not in event.extensions:
                    asked.append((incoming, event, features))
        try:
            said = await predictor(model, [Asked(shadow_id(event.id, version), found) for _, event, found in asked])
        except Exception as error:  # it is away, or the task's own code fails: nobody who is answered may suffer
            log.warning("%s %s says nothing of %d events: %r", model.name, version, len(asked), error)
            self._count(version, "left_out", len(asked))
            return
        records = [
            self._build_record(model, incoming, event, predicted)
            for (incoming, event, _), predicted in zip(asked, said, strict=True)
        ]
        errors = await self._publish(records)
        lost = sum(error is not None for error in errors)
        self._count(version, "left_out", lost)
        self._count(version, "said", len(records) - lost)

    def _build_record(
        self, model: ModelRef, incoming: ConsumedRecord, event: Event, predicted: PredictionResult | Rejected
    ) -> Record:
        try:
            if isinstance(predicted, Rejected):
                raise predicted
            record, timings = build_prediction(model, "shadow", event, incoming.key, predicted)
            latency = metrics.LATENCY.labels(model.name, model.version, "shadow", "inference")
            latency.observe(timings["inference"] / 1000)
            return record
        except Rejected as error:
            failure = Failure(stage=STAGE, code=error.code, reason=str(error))
            request = (event.extensions["requestsource"], event.extensions["requestid"])
            return build_failed_prediction(model.name, request, failure, None, incoming.key, event, (model, "shadow"))

    def _count(self, version: str, outcome: str, events: int) -> None:
        metrics.SHADOWS.labels(self._task.name, version, outcome).inc(events)
