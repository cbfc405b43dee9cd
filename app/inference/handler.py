"""What the inference agent does with a batch: features in, answers out."""

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
from app.events.ids import shadow_id
from app.events.types import Failure, FeaturesExtracted, PredictionMade, Role
from app.inference.predictor import InferenceBackend, PredictionResult, Predictor
from app.monitoring import metrics
from app.registry.routes import RouteLookup
from app.settings import Settings
from app.streams.delivery import HandlerResult, Rejection
from models import tensors
from models.base import Asked, Features, Rejected, Task

STAGE = "inference"


class InferenceHandler:
    """Handles the features of one task, each by the version that the route of now has for its key."""

    def __init__(
        self, settings: Settings, task: Task, route: RouteLookup, connect: Callable[[], InferenceBackend]
    ) -> None:
        """`connect` opens the channel to the models; it is called in the loop that the agent runs in."""
        self._settings = settings
        self._task = task
        self._route = route
        self._predictor: Predictor | None = None
        self._connect = connect
        metrics.init_counters(task.name, STAGE)

    async def __call__(self, batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        """The prediction, or the rejection, of each event."""
        if self._predictor is None:
            self._predictor = Predictor(self._task, self._connect(), self._settings.inference_attempts)
        answers: list[HandlerResult | None] = [None] * len(batch)
        readable: list[tuple[int, Event, Features]] = []
        for index, incoming in enumerate(batch):
            try:
                readable.append((index, *read_features(incoming)))
            except Rejected as error:
                answers[index] = error
        if self._settings.for_task(self._task.name).frames == "latest":
            skipped = find_superseded([event for _, event, _ in readable])
            for index, event, _ in readable:
                if event.id in skipped:
                    answers[index] = [self._skip_frame(event, batch[index].key)]
            readable = [one for one in readable if one[1].id not in skipped]
        route = await self._route()
        served: dict[tuple[str, Role], list[tuple[int, Event, Features]]] = defaultdict(list)
        for one in readable:
            served[route.assign(self._task.name, batch[one[0]].key or one[1].id.encode())].append(one)
        await asyncio.gather(*(self._predict(*by, some, batch, answers) for by, some in served.items()))
        return [answer for answer in answers if answer is not None]

    async def _predict(
        self,
        version: str,
        role: Role,
        events: Sequence[tuple[int, Event, Features]],
        batch: Sequence[ConsumedRecord],
        answers: list[HandlerResult | None],
    ) -> None:
        """Answer those events of the batch that one version serves."""
        assert self._predictor is not None
        model = ModelRef(name=self._task.name, version=version)
        predictions = await self._predictor(model, [Asked(event.id, features) for _, event, features in events])
        for (index, event, _), predicted in zip(events, predictions, strict=True):
            answers[index] = self._answer(model, role, event, batch[index], predicted)

    def _answer(
        self,
        model: ModelRef,
        role: Role,
        event: Event,
        incoming: ConsumedRecord,
        predicted: PredictionResult | Rejected,
    ) -> HandlerResult:
        try:
            if isinstance(predicted, Rejected):
                raise predicted
            record, total = build_prediction(model, role, event, incoming.key, predicted)
        except Rejected as error:
            failure = Failure(stage=STAGE, code=error.code, reason=str(error))
            return Rejection(error, self.reject(incoming, failure, (model, role)))
        metrics.REQUESTS.labels(self._task.name, model.version, role, "predicted").inc()
        if self._task.at_floor(predicted.prediction):
            metrics.FLOOR_HITS.labels(self._task.name, model.version, role).inc()
        for stage, ms in total.items():
            metrics.LATENCY.labels(self._task.name, model.version, role, stage).observe(ms / 1000)
        return [record]

    def _skip_frame(self, event: Event, key: bytes | None) -> Record:
        """The answer to a frame that a later one makes needless. It is no dead letter: nothing is wrong with it."""
        metrics.SKIPPED_FRAMES.labels(self._task.name).inc()
        reason = f"a later frame of stream {event.extensions['stream']!r} was waiting already"
        failure = Failure(stage=STAGE, code="skipped_frame", reason=reason)
        request = (event.extensions["requestsource"], event.extensions["requestid"])
        return build_failed_prediction(self._task.name, request, failure, None, key, event)

    def reject(
        self, incoming: ConsumedRecord, failure: Failure, asked: tuple[ModelRef, Role] | None = None
    ) -> Sequence[Record]:
        """Return the dead letter of an event, and the answer to its request where it is known which one it was.

        `asked` is the version that was asked for a prediction, and its role.
        """
        original = Record(incoming.origin.topic, incoming.key, incoming.value, incoming.headers)
        try:
            event = complete_event(incoming.headers, incoming.value or b"", incoming.origin, FeaturesExtracted.type)
            identity = (event.extensions["requestsource"], event.extensions["requestid"])
        except (Rejected, KeyError):
            metrics.count_failure(self._task.name, failure.stage, failure.code)
            identity = (f"kafka:{incoming.origin.topic}", incoming.origin.id)
            return [build_dead_letter(original, incoming.origin, failure, identity)[1]]
        reference, letter = build_dead_letter(original, incoming.origin, failure, (event.source, event.id))
        by = (asked[0].version, asked[1]) if asked else ("", "")
        metrics.count_rejection(self._task.name, failure.stage, failure.code, *by)
        return [
            letter,
            build_failed_prediction(self._task.name, identity, failure, reference, incoming.key, event, asked),
        ]


def find_superseded(events: Sequence[Event]) -> set[str]:
    """The ids of frames that are followed by another one of their stream."""
    frames = [event for event in events if "stream" in event.extensions]
    last = {(event.extensions["requestsource"], event.extensions["stream"]): event.id for event in frames}
    return {event.id for event in frames} - set(last.values())


def read_features(incoming: ConsumedRecord) -> tuple[Event, Features]:
    """The event and its tensors. Raises `Rejected`."""
    event = complete_event(incoming.headers, incoming.value or b"", incoming.origin, FeaturesExtracted.type)
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
    model: ModelRef, role: Role, event: Event, key: bytes | None, predicted: PredictionResult
) -> tuple[Record, dict[str, float]]:
    """The `prediction.made` of a features event, on the topic for this role, and its timings in milliseconds.

    Raises `Rejected` for what is no prediction.
    """
    task, unique, topic = model.name, event.id, topics.predictions(model.name)
    if role == "shadow":
        unique, topic = shadow_id(event.id, model.version), topics.shadow_predictions(task)
    attributes = event.extensions
    now = time.time() * 1000
    preprocess, inference = float(attributes["preprocessms"]), predicted.inference_ms
    total = max(now - float(attributes["requestlogtime"]), preprocess + inference)
    timings = {
        "queued": total - preprocess - inference,
        "preprocess": preprocess,
        "inference": inference,
        "total": total,
    }
    try:
        json.dumps(predicted.prediction.output, allow_nan=False)  # pydantic would write null for what is no number
        said = PredictionMade.model_validate(
            {
                "prediction_id": unique,
                "request_id": attributes["requestid"],
                "task": task,
                "model": model,
                "role": role,
                "output": predicted.prediction.output,
                "confidence": predicted.prediction.confidence,
                "propensity": predicted.prediction.propensity,
                "inputs": predicted.input_summary,
                "timings_ms": {stage: round(ms, 3) for stage, ms in timings.items()},
            }
        )
        record = said.to_record(
            topic,
            key,
            id=unique,
            source=f"hindsight/{task}",
            time=format_rfc3339(now),
            subject=event.subject,
            traceparent=event.traceparent,
            extensions={"requestsource": attributes["requestsource"], **propagated_extensions(event)},
        )
    except (TypeError, ValueError) as error:  # a confidence that is no probability, say
        raise Rejected("bad_output", f"{model.name} {model.version}: {error}") from error
    return record, timings
