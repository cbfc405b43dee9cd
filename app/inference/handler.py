"""What the inference agent does with a batch: features in, answers out."""

import asyncio
import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence

from app import topics
from app.cloudevents import Event, Record, complete, rfc3339
from app.delivery import Answer, Incoming
from app.events import Failure, FeaturesExtracted, ModelRef, PredictionMade, Role, dead_letter, shadow_id
from app.inference.client import InferenceClient
from app.inference.predict import Predicted, Predictor
from app.inference.routing import Ask
from app.monitoring import metrics
from app.preprocess.requests import failed, marks
from app.settings import Settings
from models import tensors
from models.base import Asked, Features, Rejected, Task

STAGE = "inference"


class InferenceHandler:
    """Handles the features of one task, each by the version that the route of now has for its key."""

    def __init__(self, settings: Settings, task: Task, route: Ask) -> None:
        self._settings = settings
        self._task = task
        self._route = route
        self._predictor: Predictor | None = None
        self._refused: dict[str, tuple[ModelRef, Role]] = {}
        """Who was asked for the predictions that are being rejected, by their ids."""
        metrics.expected(task.name, STAGE)

    async def __call__(self, batch: Sequence[Incoming]) -> Sequence[Answer]:
        """The prediction, or the rejection, of each event."""
        if self._predictor is None:  # the channel belongs to the loop that the agent runs in
            client = InferenceClient(self._settings)
            self._predictor = Predictor(self._task, client, self._settings.inference_attempts)
        answers: list[Answer | None] = [None] * len(batch)
        readable: list[tuple[int, Event, Features]] = []
        for index, incoming in enumerate(batch):
            try:
                readable.append((index, *read(incoming)))
            except Rejected as error:
                answers[index] = error
        if self._settings.of_task(self._task.name).frames == "latest":
            skipped = superseded([event for _, event, _ in readable])
            for index, event, _ in readable:
                if event.id in skipped:
                    answers[index] = [self._skip(event, batch[index].key)]
            readable = [one for one in readable if one[1].id not in skipped]
        route = await self._route()
        served: dict[tuple[str, Role], list[tuple[int, Event, Features]]] = defaultdict(list)
        for one in readable:
            served[route.serving(self._task.name, batch[one[0]].key or one[1].id.encode())].append(one)
        await asyncio.gather(*(self._serve(*by, some, batch, answers) for by, some in served.items()))
        return [answer for answer in answers if answer is not None]

    async def _serve(
        self,
        version: str,
        role: Role,
        events: Sequence[tuple[int, Event, Features]],
        batch: Sequence[Incoming],
        answers: list[Answer | None],
    ) -> None:
        """Answer those events of the batch that one version serves."""
        assert self._predictor is not None
        model = ModelRef(name=self._task.name, version=version)
        predictions = await self._predictor(model, [Asked(event.id, features) for _, event, features in events])
        for (index, event, _), predicted in zip(events, predictions, strict=True):
            answers[index] = self._answer(model, role, event, batch[index].key, predicted)

    def _answer(
        self, model: ModelRef, role: Role, event: Event, key: bytes | None, predicted: Predicted | Rejected
    ) -> Answer:
        try:
            if isinstance(predicted, Rejected):
                raise predicted
            record, total = answer(model, role, event, key, predicted)
        except Rejected as error:
            self._refused[event.id] = model, role
            return error
        metrics.REQUESTS.labels(self._task.name, model.version, role, "predicted").inc()
        if self._task.at_minimum_propensity(predicted.decoded):
            metrics.FLOOR_HITS.labels(self._task.name, model.version, role).inc()
        for stage, ms in total.items():
            metrics.LATENCY.labels(self._task.name, model.version, role, stage).observe(ms / 1000)
        return [record]

    def _skip(self, event: Event, key: bytes | None) -> Record:
        """The answer to a frame that a later one makes needless. It is no dead letter: nothing is wrong with it."""
        metrics.SKIPPED_FRAMES.labels(self._task.name).inc()
        reason = f"a later frame of stream {event.extensions['stream']!r} was waiting already"
        failure = Failure(stage=STAGE, code="skipped_frame", reason=reason)
        request = (event.extensions["requestsource"], event.extensions["requestid"])
        return failed(self._task.name, request, failure, None, key, event)

    def reject(self, incoming: Incoming, failure: Failure) -> Sequence[Record]:
        """The dead letter of an event, and the answer to its request where it can be told which one it was."""
        original = Record(incoming.origin.topic, incoming.key, incoming.value, incoming.headers)
        try:
            event = complete(incoming.headers, incoming.value or b"", incoming.origin, FeaturesExtracted.type)
            identity = (event.extensions["requestsource"], event.extensions["requestid"])
        except (Rejected, KeyError):
            metrics.failed(self._task.name, failure.stage, failure.code)
            identity = (f"kafka:{incoming.origin.topic}", incoming.origin.id)
            return [dead_letter(original, incoming.origin, failure, identity)[1]]
        reference, letter = dead_letter(original, incoming.origin, failure, (event.source, event.id))
        asked = self._refused.pop(event.id, None)
        by = (asked[0].version, asked[1]) if asked else ("", "")
        metrics.rejected(self._task.name, failure.stage, failure.code, *by)
        return [letter, failed(self._task.name, identity, failure, reference, incoming.key, event, asked)]


def superseded(events: Sequence[Event]) -> set[str]:
    """The ids of frames that are followed by another one of their stream."""
    frames = [event for event in events if "stream" in event.extensions]
    last = {(event.extensions["requestsource"], event.extensions["stream"]): event.id for event in frames}
    return {event.id for event in frames} - set(last.values())


def read(incoming: Incoming) -> tuple[Event, Features]:
    """The event and its tensors. Raises `Rejected`."""
    event = complete(incoming.headers, incoming.value or b"", incoming.origin, FeaturesExtracted.type)
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


def answer(
    model: ModelRef, role: Role, event: Event, key: bytes | None, predicted: Predicted
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
        json.dumps(predicted.decoded.output, allow_nan=False)  # pydantic would write null for what is no number
        said = PredictionMade.model_validate(
            {
                "prediction_id": unique,
                "request_id": attributes["requestid"],
                "task": task,
                "model": model,
                "role": role,
                "output": predicted.decoded.output,
                "confidence": predicted.decoded.confidence,
                "propensity": predicted.decoded.propensity,
                "inputs": predicted.inputs,
                "timings_ms": {stage: round(ms, 3) for stage, ms in timings.items()},
            }
        )
        record = said.record(
            topic,
            key,
            id=unique,
            source=f"hindsight/{task}",
            time=rfc3339(now),
            subject=event.subject,
            traceparent=event.traceparent,
            extensions={"requestsource": attributes["requestsource"], **marks(event)},
        )
    except (TypeError, ValueError) as error:  # a confidence that is no probability, say
        raise Rejected("bad_output", f"{model.name} {model.version}: {error}") from error
    return record, timings
