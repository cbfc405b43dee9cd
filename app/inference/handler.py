"""The inference agent's handling of a batch: features in, answers out."""

import asyncio
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from app.events import topics
from app.events.answers import build_dead_letter, build_failed_prediction, propagated_extensions
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Event, Record, complete_event, format_rfc3339
from app.events.expiry import refuse_expired
from app.events.ids import shadow_id
from app.events.types import Failure, FeaturesExtracted, PredictionMade, Role
from app.inference.memory import CorrectionMemory
from app.inference.predictor import InferenceBackend, PredictionResult, Predictor
from app.monitoring import metrics
from app.registry.routes import RouteLookup
from app.settings import Settings
from app.settings.namespace import qualify
from app.streams.delivery import HandlerResult, Rejection
from models import tensors
from models.base import Asked, Features, Rejected, Task

STAGE = "inference"


_ReadableFeatures = tuple[int, Event, Features]
"""An event's index in its batch, the event, and its tensors."""


class InferenceHandler:
    """Answers the features of one task, each by the version that the current route assigns to its key or its id."""

    def __init__(
        self,
        settings: Settings,
        task: Task,
        route: RouteLookup,
        connect: Callable[[], InferenceBackend],
        memory: CorrectionMemory | None = None,
    ) -> None:
        """Take `connect`, which opens the connection to the models: it is called in the agent's event loop.

        With a `memory`, a correction of an equal or nearly equal input is served instead of the model's output.
        """
        self._settings = settings
        self._task = task
        self._route = route
        self._predictor: Predictor | None = None
        self._connect = connect
        self._memory = memory
        metrics.init_counters(task.name, STAGE)

    async def __call__(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """Return the prediction or the rejection of each event, in order."""
        if self._predictor is None:
            self._predictor = Predictor(self._task, self._connect(), self._settings.inference_attempts)
        predictor = self._predictor
        answers: list[HandlerResult | None] = [None] * len(batch)
        readable: list[_ReadableFeatures] = []
        for index, record in enumerate(batch):
            try:
                event, features = read_features(record)
                answers[index] = self._refuse_expired(event)
                if answers[index] is None:
                    readable.append((index, event, features))
            except Rejected as error:
                answers[index] = error
        if self._settings.for_task(self._task.name).frames == "latest":
            superseded = find_superseded([event for _, event, _ in readable])
            for index, event, _ in readable:
                if event.id in superseded:
                    answers[index] = [self._skip_frame(event, batch[index].key)]
            readable = [item for item in readable if item[1].id not in superseded]
        route = await self._route()
        by_key = self._settings.for_task(self._task.name).retraining.rollout.assignment == "key"
        groups: dict[tuple[str, Role], list[_ReadableFeatures]] = defaultdict(list)
        for index, event, features in readable:
            unit = (batch[index].key if by_key else None) or event.id.encode()
            assignment = route.assign(self._task.name, unit)
            groups[assignment].append((index, event, features))
        # All results before any answer: a batch that is retried because a version is unavailable is counted once.
        results = await asyncio.gather(
            *(
                predictor(self._model(version), [Asked(event.id, features) for _, event, features in group])
                for (version, _), group in groups.items()
            )
        )
        for ((version, role), group), group_results in zip(groups.items(), results, strict=True):
            for read, result in zip(group, group_results, strict=True):
                index, _, features = read
                answers[index] = self._answer(self._model(version), role, read, batch[index], result)
                if role != "shadow" and not isinstance(result, Rejected):
                    metrics.count_unknown_values(self._task.name, self._task.unknown_values(features))
        return [answer for answer in answers if answer is not None]

    def _refuse_expired(self, event: Event) -> Rejected | None:
        attributes, limit = event.extensions, self._settings.for_task(self._task.name).max_wait_seconds
        return refuse_expired(attributes, float(attributes["requestlogtime"]), time.time() * 1000, limit)

    def _model(self, version: str) -> ModelRef:
        return ModelRef(name=self._task.name, version=version)

    def _answer(
        self,
        model: ModelRef,
        role: Role,
        read: _ReadableFeatures,
        record: ConsumedRecord,
        result: PredictionResult | Rejected,
    ) -> HandlerResult:
        _, event, features = read
        try:
            if isinstance(result, Rejected):
                raise result
            served = result if self._memory is None else self._memory.answer(model.version, event, features, result)
            prediction, timings = build_prediction(model, role, event, record.key, served)
        except Rejected as error:
            failure = Failure(stage=STAGE, code=error.code, reason=str(error))
            return Rejection(error, self.reject(record, failure, (model, role)))
        metrics.REQUESTS.labels(self._task.name, model.version, role, "predicted").inc()
        if served.memory is not None:
            metrics.MEMORY.labels(self._task.name, "answered").inc()
        if self._task.at_minimum_propensity(result.prediction):
            metrics.FLOOR_HITS.labels(self._task.name, model.version, role).inc()
        for stage, ms in timings.items():
            metrics.LATENCY.labels(self._task.name, model.version, role, stage).observe(ms / 1000)
        return [prediction]

    def _skip_frame(self, event: Event, key: bytes | None) -> Record:
        """Return the answer to a frame that a later one supersedes. There is no dead letter: the frame is valid."""
        metrics.SKIPPED_FRAMES.labels(self._task.name).inc()
        reason = f"a later frame of stream {event.extensions['stream']!r} was waiting already"
        failure = Failure(stage=STAGE, code="skipped_frame", reason=reason)
        request = (event.extensions["requestsource"], event.extensions["requestid"])
        return build_failed_prediction(self._task.name, request, failure, None, key, event)

    def reject(
        self, record: ConsumedRecord, failure: Failure, model_and_role: tuple[ModelRef, Role] | None = None
    ) -> Sequence[Record]:
        """Return the dead letter of an event, and the answer to its request if the event names it.

        `model_and_role` is the version that was asked for a prediction, and its role.
        """
        original = Record(record.origin.topic, record.key, record.value, record.headers)
        try:
            event = complete_event(record.headers, record.value or b"", record.origin, FeaturesExtracted.type)
            request = (event.extensions["requestsource"], event.extensions["requestid"])
        except (Rejected, KeyError):
            metrics.count_failure(self._task.name, failure.stage, failure.code)
            event_id = (f"kafka:{record.origin.topic}", record.origin.id)
            return [build_dead_letter(original, record.origin, failure, event_id)[1]]
        reference, letter = build_dead_letter(original, record.origin, failure, (event.source, event.id))
        version, role = (model_and_role[0].version, model_and_role[1]) if model_and_role else ("", "")
        metrics.count_rejection(self._task.name, failure.stage, failure.code, version, role)
        answer = build_failed_prediction(
            self._task.name, request, failure, reference, record.key, event, model_and_role
        )
        return [letter, answer]


def find_superseded(events: Sequence[Event]) -> set[str]:
    """Return the ids of frames that are followed by a later frame of their stream."""
    frames = [event for event in events if "stream" in event.extensions]
    last = {(event.extensions["requestsource"], event.extensions["stream"]): event.id for event in frames}
    return {event.id for event in frames} - set(last.values())


def read_features(record: ConsumedRecord) -> tuple[Event, Features]:
    """Return the features event and its tensors. Raises `Rejected`."""
    event = complete_event(record.headers, record.value or b"", record.origin, FeaturesExtracted.type)
    missing = {"requestid", "requestsource", "requestlogtime", "preprocessms", "tensors"} - event.extensions.keys()
    if missing:
        raise Rejected("bad_features", f"attributes are missing: {', '.join(f'ce_{name}' for name in sorted(missing))}")
    for name in ("requestlogtime", "preprocessms"):
        if not _is_number(event.extensions[name]):
            raise Rejected("bad_features", f"ce_{name} is {event.extensions[name]!r}; milliseconds are needed")
    return event, tensors.decode(event.data, event.extensions["tensors"])


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def build_prediction(
    model: ModelRef, role: Role, event: Event, key: bytes | None, result: PredictionResult
) -> tuple[Record, dict[str, float]]:
    """Return the `prediction.made` record of a features event, on the role's topic, and its timings in milliseconds.

    Raises `Rejected` if the result is not a valid prediction.
    """
    task, prediction_id, topic = model.name, event.id, topics.predictions(model.name)
    if role == "shadow":
        prediction_id, topic = shadow_id(event.id, model.version), topics.shadow_predictions(task)
    attributes = event.extensions
    now = time.time() * 1000
    preprocess, inference = float(attributes["preprocessms"]), result.inference_ms
    total = max(now - float(attributes["requestlogtime"]), preprocess + inference)
    timings = {
        "queued": total - preprocess - inference,
        "preprocess": preprocess,
        "inference": inference,
        "total": total,
    }
    try:
        for output in (result.prediction.output, result.memory and result.memory.output):
            json.dumps(output, allow_nan=False)  # pydantic would write null for NaN and infinity
        prediction = PredictionMade.model_validate(
            {
                "prediction_id": prediction_id,
                "request_id": attributes["requestid"],
                "task": task,
                "model": model,
                "role": role,
                "output": result.prediction.output,
                "confidence": result.prediction.confidence,
                "propensity": result.prediction.propensity,
                "inputs": result.input_summary,
                "timings_ms": {stage: round(ms, 3) for stage, ms in timings.items()},
                "input_digest": result.input_digest,
                "near_key": result.near_key,
                "memory": result.memory,
            }
        )
        record = prediction.to_record(
            topic,
            key,
            id=prediction_id,
            source=qualify(f"hindsight/{task}"),
            time=format_rfc3339(now),
            subject=event.subject,
            traceparent=event.traceparent,
            extensions={"requestsource": attributes["requestsource"], **propagated_extensions(event)},
        )
    except (TypeError, ValueError) as error:  # for example a confidence that is not a probability
        raise Rejected("bad_output", f"{model.name} {model.version}: {error}") from error
    return record, timings
