"""Imports examples into the event log: each becomes a request, the prediction that served it, and feedback.

The prediction has the example's output, or without one the champion's, as in a batch. Each step is confirmed before the
next, feedback last: so an example whose feedback is in the log is complete, and the next import leaves it out. An
import that was killed continues where it stopped, and a second import of the same source adds nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pyarrow.dataset as ds
from aiokafka import AIOKafkaProducer

from app.errors import Unpublishable
from app.eventlog import snapshot
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Event, Origin, Record, TopicId, header_text
from app.events.types import PredictionFailed
from app.importers.example import Example, ParsedRow, RejectedRow
from app.importers.example_events import SOURCE, EventBuilder, ExampleEvents
from app.inference.handler import STAGE, InferenceHandler
from app.inference.mlserver.client import InferenceClient
from app.inference.routing import pin_champion
from app.kafka.producers import open_producer, publish_confirmed
from app.settings import Settings
from app.streams.delivery import DeliveryGuard
from models.base import Rejected, Task

_Built = TypeVar("_Built")


@dataclass
class ImportCounts:
    """The numbers of a source's rows by their result."""

    imported: int = 0
    known: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        """The number of all rows."""
        return self.imported + self.known + self.rejected


class Importer:
    """Imports one source. `actor` is the actor of the feedback; `reject` gets each row that can't be imported."""

    def __init__(
        self, settings: Settings, task: Task, source: str, actor: str, reject: Callable[[RejectedRow], None]
    ) -> None:
        self._settings = settings
        self._task = task
        self._reject = reject
        self._event_builder = EventBuilder(settings, task, source, actor)
        self._handler = InferenceHandler(
            settings, task, pin_champion(settings, task), partial(InferenceClient, settings)
        )
        self._failures: dict[str, str] = {}
        self._counts = ImportCounts()

    async def run(self, parsed_rows: Iterable[ParsedRow], progress: Callable[[int], None]) -> ImportCounts:
        """Import all rows. Raises KafkaError without a broker, OSError if a storage is unavailable."""
        known = await asyncio.to_thread(self._imported_feedback_ids)
        rows = iter(parsed_rows)
        async with open_producer(self._settings) as producer:
            # Reading and preprocessing are slow, so they run in a thread.
            while chunk := await asyncio.to_thread(lambda: list(islice(rows, self._settings.batch_size))):
                await self._publish_all(producer, await asyncio.to_thread(self._build_all, chunk, known))
                progress(self._counts.total)
        return self._counts

    def check(self, parsed_rows: Iterable[ParsedRow], progress: Callable[[int], None]) -> ImportCounts:
        """Count what `run` would import, without the log and the models: nothing is published or stored."""
        known: set[str] = set()
        for row in parsed_rows:
            self._counts.imported += self._build(row, known, self._event_builder.check) is not None
            progress(self._counts.total)
        return self._counts

    def _imported_feedback_ids(self) -> set[str]:
        """Return the ids of the feedback that earlier imports have written to the log."""
        topic = topics.feedback(self._task.name)
        with TemporaryDirectory() as scratch:
            topic_snapshot = asyncio.run(snapshot.take(self._settings, [topic], Path(scratch)))[topic]
            ids = topic_snapshot.dataset().to_table(["id"], filter=ds.field("source") == SOURCE)["id"]
            return set(ids.to_pylist())

    def _build_all(self, rows: Sequence[ParsedRow], known: set[str]) -> list[ExampleEvents]:
        built = (self._build(row, known, self._event_builder.build) for row in rows)
        return [events for events in built if events is not None]

    def _build(self, row: ParsedRow, known: set[str], build: Callable[[Example, Event], _Built]) -> _Built | None:
        if isinstance(row, RejectedRow):
            self._reject_row(row)
            return None
        try:
            feedback = self._event_builder.build_feedback(row)
            if feedback.id in known:
                self._counts.known += 1
                return None
            events = build(row, feedback)
        except Rejected as error:
            self._reject_row(RejectedRow(row.where, error.code, str(error)))
        except ValueError as error:  # for example half of a surrogate pair, which JSON can have and UTF-8 can't
            self._reject_row(RejectedRow(row.where, "bad_text", f"it can't be written as an event: {error}"))
        else:
            known.add(feedback.id)
            return events
        return None

    async def _publish_all(self, producer: AIOKafkaProducer, examples: Sequence[ExampleEvents]) -> None:
        """Publish requests, then predictions, then feedback, each confirmed before the next."""
        requested = await self._publish_records(producer, examples, lambda example: example.request)
        with_output = [example for example in requested if example.prediction is not None]
        without_output = [example for example in requested if example.prediction is None]
        predicted = await self._predict(producer, without_output)
        predicted += await self._publish_records(producer, with_output, lambda example: example.prediction)
        imported = await self._publish_records(producer, predicted, lambda example: example.feedback)
        self._counts.imported += len(imported)

    async def _publish_records(
        self,
        producer: AIOKafkaProducer,
        examples: Sequence[ExampleEvents],
        record_of: Callable[[ExampleEvents], Record | None],
    ) -> list[ExampleEvents]:
        """Publish a record of each example. Reject those that Kafka refuses, return the others.

        Raises errors that may be transient.
        """
        published = []
        records = [record for example in examples if (record := record_of(example)) is not None]
        for example, error in zip(examples, await publish_confirmed(producer, records), strict=True):
            if isinstance(error, Unpublishable):
                self._reject_row(RejectedRow(example.where, "unpublishable", str(error)))
            elif error is not None:
                raise error
            else:
                published.append(example)
        return published

    async def _predict(self, producer: AIOKafkaProducer, examples: Sequence[ExampleEvents]) -> list[ExampleEvents]:
        """Predict examples with the inference agent's handler and guard. Return those that have a prediction."""

        async def publish(records: Sequence[Record]) -> Sequence[Exception | None]:
            errors = await publish_confirmed(producer, records)
            for record in records:
                if header_text(record.headers, "ce_type") == PredictionFailed.type:
                    answer = PredictionFailed.model_validate_json(record.value or b"")
                    self._failures[answer.prediction_id] = f"{answer.error.code}: {answer.error.reason}"
            return errors

        if examples:
            await DeliveryGuard(STAGE, self._handler, publish, self._handler.reject).deliver(
                [_consumed_record(position, example.features) for position, example in enumerate(examples)]
            )
        for example in examples:
            if example.prediction_id in self._failures:
                self._reject_row(RejectedRow(example.where, "not_predicted", self._failures[example.prediction_id]))
        return [example for example in examples if example.prediction_id not in self._failures]

    def _reject_row(self, row: RejectedRow) -> None:
        self._counts.rejected += 1
        self._reject(row)


def _consumed_record(position: int, record: Record) -> ConsumedRecord:
    origin = Origin(TopicId(SOURCE), record.topic, 0, position, round(time.time() * 1000))
    return ConsumedRecord(origin, record.key, record.value, record.headers)
