"""The log of a task's deployment: served predictions with people's feedback, in the catalog and as a dataset."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property, lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from app.catalog.catalog import Catalog
from app.events import topics
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId
from app.events.ids import shadow_id
from app.events.model_events import DatasetBuilt
from app.events.types import FeedbackGiven, OutcomeRecorded, PredictionMade, Role
from app.inference.local_model import LocalModel
from app.inference.predictor import PredictionResult, Predictor
from app.outcomes.label_aggregation import build_outcome, build_outcome_record, in_audit_sample
from app.outcomes.prediction_history import FeedbackEvent, PredictionHistory, ServedPrediction
from app.replay import dataset
from app.settings import Settings
from benchmarks.studies.drifted.dataset import SPLITS
from benchmarks.studies.loop_worth.streams import REQUEST_SOURCE, Request, StreamedTask
from models import tensors
from models.base import Asked, Decoded, Task

VOLUNTEERED_SHARE = 0.2
"""The share of mistakes outside the audit that people correct unasked."""
_TIMINGS_MS = {"queued": 1.0, "preprocess": 1.0, "inference": 2.0, "total": 4.0}
_SOURCE = "loop-worth"
_OUTCOME_FIELDS = {"actors", "contradicted", "accepted", "reward", "reward_defaulted", "score"}
_OUTCOME_FIELDS |= {"selection", "selection_probability", "audit_answered"}


def predict(task: Task, version: Path, asked: Sequence[Asked]) -> list[Decoded]:
    """Return a version's predictions, as the platform's predictor makes them."""
    predictor = Predictor(task, _open_model(version), max_attempts=1)
    results = asyncio.run(predictor(ModelRef(name=task.name, version="1"), asked))
    predictions = [result.prediction for result in results if isinstance(result, PredictionResult)]
    assert len(predictions) == len(asked)
    return predictions


_open_model = lru_cache(maxsize=8)(LocalModel)


class Log:
    """All that is logged of a task but the registry."""

    def __init__(self, streamed: StreamedTask, settings: Settings, seed: int) -> None:
        self._streamed, self._seed = streamed, seed
        self._task = streamed.task()
        self._settings = settings.for_task(self._task.name)
        self._catalog_url = settings.catalog_url
        self.labels = 0
        """The corrections or rewards that were given."""
        self._unread = list[ConsumedRecord]()
        self._rows = list[dict[str, Any]]()
        self._offsets = count()

    @property
    def catalog(self) -> Catalog:
        """The catalog of all that is logged; it is written only for who reads it."""
        self._catalog.project(self._unread)
        self._unread.clear()
        return self._catalog

    @cached_property
    def _catalog(self) -> Catalog:
        catalog = Catalog(self._catalog_url)
        catalog.upgrade()
        return catalog

    def consume(self, record: Record, at: datetime) -> ConsumedRecord:
        """Return a record as it is consumed."""
        position = 0, next(self._offsets), round(at.timestamp() * 1000)
        origin = Origin(TopicId(record.topic), record.topic, *position)
        return ConsumedRecord(origin, record.key, record.value, record.headers)

    def add(self, version: str, role: Role, answers: Iterable[tuple[Request, Decoded]]) -> None:
        """Log a version's answers, with the feedback that people give on them."""
        for request, decoded in answers:
            self._unread += self._records(request, version, role, decoded)

    def _records(self, request: Request, version: str, role: Role, decoded: Decoded) -> list[ConsumedRecord]:
        """Return the records of an answer, and add the row of a dataset."""
        made = self._make_prediction(request, version, role, decoded)
        records = [_record_prediction(made, request)]
        if role != "shadow":
            served = ServedPrediction(made, REQUEST_SOURCE, request.time, request.time)
            feedback = tuple(
                FeedbackEvent(given, "people", made.prediction_id, request.time, request.time)
                for given in self._ask(request, made)
            )
            self.labels += len(feedback)
            outcome = build_outcome(self._task, self._settings, PredictionHistory(served, feedback), request.time)
            records += [build_outcome_record(outcome, request.time)] if outcome else []
            self._rows.append(_make_row(request, made, outcome))
        return [self.consume(record, request.time) for record in records]

    def _make_prediction(self, request: Request, version: str, role: Role, decoded: Decoded) -> PredictionMade:
        id = request.asked.prediction_id
        return PredictionMade(
            prediction_id=shadow_id(id, version) if role == "shadow" else id,
            request_id=str(request.number),
            task=self._task.name,
            model=ModelRef(name=self._task.name, version=version),
            role=role,
            output=decoded.output,
            confidence=decoded.confidence,
            propensity=decoded.propensity,
            timings_ms=_TIMINGS_MS,
        )

    def _ask(self, request: Request, made: PredictionMade) -> list[FeedbackGiven]:
        """Return the feedback on an answer. All of the audit is answered; else people correct some of the mistakes."""
        rng = np.random.default_rng([self._seed, request.number])
        given = partial(FeedbackGiven, prediction_id=made.prediction_id, actor="ada")
        if self._streamed.rewards is not None:
            chance = self._streamed.rewards(request.sample)[made.output["action"]]
            return [given(reward=float(rng.random() < chance))]
        correction = request.sample.correction
        if in_audit_sample(made.prediction_id, self._settings.audit_rate):
            return [given(correction=correction, queue="audit")]
        is_mistake = self._task.score(made.output, correction) < 1
        return [given(correction=correction)] if is_mistake and rng.random() < VOLUNTEERED_SHARE else []

    def write_dataset(self, out: Path, since: datetime | None) -> DatasetBuilt:
        """Write the log as a dataset, as `hindsight replay` does."""
        out.mkdir(parents=True)
        rows = sorted((row for row in self._rows if since is None or row["time"] >= since), key=lambda row: row["time"])
        with dataset.DatasetWriter(out / dataset.ROWS_FILE) as writer:
            writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))
        manifest = {"content_hash": writer.content_hash, "rows": writer.rows}
        dataset.write_manifest(out / dataset.MANIFEST_FILE, manifest)
        return DatasetBuilt.model_validate(
            {"task": self._task.name, "location": out.as_uri(), "manifest": manifest} | manifest
        )


def request_key(request: Request) -> bytes:
    """Return the key of a request's records."""
    return str(request.number).encode()


def _record_prediction(made: PredictionMade, request: Request) -> Record:
    topic = (topics.shadow_predictions if made.role == "shadow" else topics.predictions)(made.task)
    id, time, extensions = made.prediction_id, request.time.isoformat(), {"requestsource": REQUEST_SOURCE}
    return made.to_record(topic, request_key(request), id=id, source=_SOURCE, time=time, extensions=extensions)


def _make_row(request: Request, made: PredictionMade, outcome: OutcomeRecorded | None) -> dict[str, Any]:
    features, declaration = tensors.encode(request.asked.features)
    prediction = made.model_dump(include={"prediction_id", "request_id", "confidence", "propensity", "role"})
    known = {} if outcome is None else outcome.model_dump(include=_OUTCOME_FIELDS)
    return {
        **dict.fromkeys(dataset.SCHEMA.names),
        **prediction,
        **known,
        "request_source": REQUEST_SOURCE,
        "entity": made.request_id,
        "time": request.time,
        "split": SPLITS[request.number % len(SPLITS)],
        "features": features,
        "tensors": declaration,
        "output": json.dumps(made.output),
        "version": made.model.version,
        "label": None if outcome is None or outcome.label is None else json.dumps(outcome.label),
    }
