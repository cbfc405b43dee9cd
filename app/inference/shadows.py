"""Shadow predictions: versions on trial predict requests that are already answered.

They have low priority: no answer waits for them. Events that exceed their capacity are left out and counted.
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
"""Bound of the queue of answered batches."""


class ShadowPredictor:
    """Predicts with a task's shadow versions and publishes their predictions."""

    def __init__(self, settings: Settings, task: Task, route: RouteLookup, publish: BatchPublisher) -> None:
        self._settings = settings
        self._task = task
        self._route = route
        self._publish = publish
        self._queue: asyncio.Queue[Sequence[ConsumedRecord]] = asyncio.Queue(MAX_WAITING_BATCHES)

    def submit(self, batch: Sequence[ConsumedRecord]) -> None:
        """Queue features that are answered; leave them out if the queue is full."""
        try:
            self._queue.put_nowait(batch)
        except asyncio.QueueFull:
            self._count("", "left_out", len(batch))

    async def run(self) -> None:
        """Predict the queued batches, for ever."""
        async with InferenceClient(self._settings) as client:
            predictor = Predictor(self._task, client, max_attempts=1)
            while True:
                batch = await self._queue.get()
                for version in (await self._route()).shadows:
                    await self._predict(predictor, version, batch)

    async def _predict(self, predictor: Predictor, version: str, batch: Sequence[ConsumedRecord]) -> None:
        model = ModelRef(name=self._task.name, version=version)
        readable: list[tuple[ConsumedRecord, Event, Features]] = []
        for record in batch:
            with suppress(Rejected):  # it is already a dead letter
                event, features = read_features(record)
                if "partial" not in event.extensions:
                    readable.append((record, event, features))
        inputs = [Asked(shadow_id(event.id, version), features) for _, event, features in readable]
        try:
            results = await predictor(model, inputs)
        except Exception as error:  # MLServer is unavailable or the task's code fails: served requests go on
            log.warning("%s %s predicts none of %d events: %r", model.name, version, len(inputs), error)
            self._count(version, "left_out", len(inputs))
            return
        records = [
            self._build_record(model, record, event, result)
            for (record, event, _), result in zip(readable, results, strict=True)
        ]
        errors = await self._publish(records)
        unpublished = sum(error is not None for error in errors)
        self._count(version, "left_out", unpublished)
        self._count(version, "said", len(records) - unpublished)

    def _build_record(
        self, model: ModelRef, record: ConsumedRecord, event: Event, result: PredictionResult | Rejected
    ) -> Record:
        try:
            if isinstance(result, Rejected):
                raise result
            prediction, timings = build_prediction(model, "shadow", event, record.key, result)
            latency = metrics.LATENCY.labels(model.name, model.version, "shadow", "inference")
            latency.observe(timings["inference"] / 1000)
            return prediction
        except Rejected as error:
            failure = Failure(stage=STAGE, code=error.code, reason=str(error))
            request = (event.extensions["requestsource"], event.extensions["requestid"])
            return build_failed_prediction(model.name, request, failure, None, record.key, event, (model, "shadow"))

    def _count(self, version: str, outcome: str, events: int) -> None:
        metrics.SHADOWS.labels(self._task.name, version, outcome).inc(events)
