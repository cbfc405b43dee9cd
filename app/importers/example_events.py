"""The events of an example: its request, its prediction and its feedback, with the same ids in every import."""

import json
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from app.client import RECORD_OVERHEAD_BYTES
from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import JSON, MAX_ATTRIBUTE_LENGTH, Event, Origin, Record, TopicId, format_rfc3339
from app.events.ids import prediction_id
from app.events.payload import max_claimed_bytes
from app.events.types import FeedbackGiven, PredictionMade, PredictionRequested
from app.importers.example import Example
from app.importers.locations import SourceReader
from app.preprocess.preprocessor import Preprocessor
from app.settings import Settings
from app.settings.namespace import qualify
from app.storage.blob_store import blob_store
from models.base import Rejected, Task

SOURCE = qualify("hindsight/import")
IMPORTED_VERSION = "imported"
"""The version of predictions that another system served."""

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class ExampleEvents:
    """An example's events. If `prediction` is None, a model must predict the features."""

    where: str
    prediction_id: str
    request: Record
    features: Record
    prediction: Record | None
    feedback: Record


class EventBuilder:
    """Builds the events of one source's examples. `actor` is the actor of their feedback."""

    def __init__(self, settings: Settings, task: Task, source: str, actor: str) -> None:
        self._settings = settings
        self._task = task
        self._source = source
        self._actor = actor
        self._reader = SourceReader(settings)
        self._blobs = blob_store(settings)
        self._preprocess = Preprocessor(
            task, self._blobs.get, topics.max_features_bytes(settings), max_claimed_bytes(settings, task)
        )

    def build_feedback(self, row: Example) -> Event:
        """Build the feedback. Its id derives from its request and its content. Raises `Rejected`, ValueError."""
        request_id, correction = _request_id(row), self._validate_correction(row)
        identity = json.dumps([request_id, correction, row.reward], sort_keys=True, ensure_ascii=False)
        feedback = FeedbackGiven(
            prediction_id=prediction_id(self._task.name, SOURCE, request_id),
            correction=correction,
            reward=row.reward,
            actor=self._actor,
        )
        return Event(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, identity)),
            type=FeedbackGiven.type,
            source=SOURCE,
            # A logged outcome keeps its time, so that its reward is in the reward window. A label is given now.
            time=(row.time if row.output is not None else None) or _now(),
            data=feedback.model_dump_json().encode(),
            content_type=JSON,
            extensions=self._provenance(row),
        )

    def build(self, row: Example, feedback: Event) -> ExampleEvents:
        """Build all events. Raises `Rejected`, ValueError for invalid text, OSError if a storage is unavailable."""
        request_id = _request_id(row)
        request = self._build_request(row, request_id, self._read_payload(row))
        entity = (row.entity or (row.payload if isinstance(row.payload, str) else request_id)).encode()
        topic = topics.requests(self._task.name)
        origin = Origin(TopicId(SOURCE), topic, 0, 0, round(time.time() * 1000))
        result = self._preprocess(origin, entity, request.data, request.to_headers())
        if result.rejection is not None:
            raise result.rejection
        [features] = result.records
        example_id = prediction_id(self._task.name, SOURCE, request_id)
        # The import answers the request, so the live job must ignore it.
        mark = ("ce_batch", str(uuid.uuid5(uuid.NAMESPACE_URL, self._source)).encode())
        return ExampleEvents(
            where=row.where,
            prediction_id=example_id,
            request=Record(topic, entity, request.data, (*request.to_headers(), mark)),
            features=features,
            prediction=None if row.output is None else self._build_prediction(row, request_id, example_id, entity),
            feedback=Record(
                topics.feedback(self._task.name), example_id.encode(), feedback.data, feedback.to_headers()
            ),
        )

    def check(self, row: Example, feedback: Event) -> bytes:
        """Return the payload, if the events could be built. Raises as `build` does."""
        payload = self._read_payload(row)
        try:
            self._task.preprocess(payload)
        except Rejected:
            raise
        except Exception as error:  # a failure of the task's code affects this row only
            raise Rejected("preprocess_error", f"{type(error).__name__}: {error}") from error
        if row.output is not None:
            self._build_prediction(row, "", "", b"")
        return payload

    def _read_payload(self, row: Example) -> bytes:
        limit = max_claimed_bytes(self._settings, self._task)
        if isinstance(row.payload, str):
            return self._reader.read(row.payload, limit)
        if len(row.payload) > limit:
            raise Rejected("too_large", f"the payload has {len(row.payload):,} bytes; at most {limit:,} are taken")
        return row.payload

    def _validate_correction(self, row: Example) -> dict[str, Any] | None:
        try:
            return None if row.correction is None else self._task.validate_correction(row.correction)
        except Rejected:
            raise
        except Exception as error:  # a failure of the task's code affects this row only
            raise Rejected("bad_correction", f"{type(error).__name__}: {error}") from error

    def _build_request(self, row: Example, request_id: str, payload: bytes) -> Event:
        """Build the request with the payload, or with its claim check if it is too large for Kafka."""
        content_type = None
        if len(payload) > self._settings.max_payload_bytes - RECORD_OVERHEAD_BYTES:
            payload, content_type = json.dumps({"uri": self._blobs.put(payload)}).encode(), JSON
        subject = row.entity or (row.payload if isinstance(row.payload, str) else None)
        fits = subject is not None and len(subject) <= MAX_ATTRIBUTE_LENGTH and not _CONTROL_CHARACTER.search(subject)
        return Event(
            id=request_id,
            type=PredictionRequested.type,
            source=SOURCE,
            time=row.time or _now(),
            data=payload,
            subject=subject if fits else None,
            content_type=content_type,
            extensions=self._provenance(row),
        )

    def _build_prediction(self, row: Example, request_id: str, example_id: str, key: bytes) -> Record:
        """Build the prediction with the logged output. Its confidence is unknown, so the propensity takes its place."""
        assert row.output is not None
        try:
            self._task.score(row.output, row.correction or row.output)
        except Exception as error:  # the task's code fails on an output that is not one of its own
            reason = f"not a valid output of {self._task.name}: {type(error).__name__}: {error}"
            raise Rejected("bad_output", reason) from error
        prediction = PredictionMade(
            prediction_id=example_id,
            request_id=request_id,
            task=self._task.name,
            model=ModelRef(name=self._task.name, version=IMPORTED_VERSION),
            role="champion",
            output=row.output,
            confidence=row.propensity,
            propensity=row.propensity,
            timings_ms={},
        )
        return prediction.to_record(
            topics.predictions(self._task.name),
            key,
            id=example_id,
            source=qualify(f"hindsight/{self._task.name}"),
            time=row.time or _now(),
            extensions={"requestsource": SOURCE},
        )

    def _provenance(self, row: Example) -> dict[str, str]:
        attributes = {"importsource": self._source, "importrow": row.where}
        texts = {name: text.encode(errors="replace").decode() for name, text in attributes.items()}
        return {name: _CONTROL_CHARACTER.sub("?", text)[-MAX_ATTRIBUTE_LENGTH:] for name, text in texts.items()}


def _request_id(row: Example) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, row.identity))


def _now() -> str:
    return format_rfc3339(time.time() * 1000)
