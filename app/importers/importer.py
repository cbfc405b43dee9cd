"""Examples into the event log: a request, the prediction that served it, and feedback with what is known.

An example with an output says what was served; without one the champion is asked, as in a batch. Each step is confirmed
before the next, feedback last: an example whose feedback is in the log is there whole, and is left out the next time.
So an import that was killed goes on where it stopped, and a second one of the same source adds nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.dataset as ds

from app.errors import Unpublishable
from app.eventlog import snapshot
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Origin, Record, TopicId, header_text
from app.events.types import PredictionFailed
from app.importers.example import ParsedRow, RejectedRow
from app.importers.example_events import SOURCE, EventBuilder, ExampleEvents
from app.inference.handler import STAGE, InferenceHandler
from app.inference.mlserver.client import InferenceClient
from app.inference.routing import pin_champion
from app.kafka.producers import RecordSender, open_producer, publish_confirmed
from app.settings import Settings
from app.streams.delivery import DeliveryGuard
from models.base import Rejected, Task


@dataclass
class ImportCounts:
    """What became of the rows of a source."""

    imported: int = 0
    known: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        """How many rows there were."""
        return self.imported + self.known + self.rejected


class Importer:
    """Imports one source. `actor` says all that it says; each row that can't be imported is told to `reject`."""

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
        """Import everything. Raises KafkaError without a broker, OSError while a storage is away."""
        known = await asyncio.to_thread(self._imported_feedback_ids)
        rows = iter(parsed_rows)
        async with open_producer(self._settings) as send:
            # Reading and preprocessing take a while: in a thread, so that this loop goes on.
            while chunk := await asyncio.to_thread(lambda: list(islice(rows, self._settings.batch_size))):
                await self._publish_all(send, await asyncio.to_thread(self._build_all, chunk, known))
                progress(self._counts.total)
        return self._counts

    def _imported_feedback_ids(self) -> set[str]:
        """The feedback that earlier imports have brought into the log, by its ids."""
        topic = topics.feedback(self._task.name)
        with TemporaryDirectory() as scratch:
            taken = asyncio.run(snapshot.take(self._settings, [topic], Path(scratch)))[topic]
            ids = taken.dataset().to_table(["id"], filter=ds.field("source") == SOURCE)["id"]
            return set(ids.to_pylist())

    def _build_all(self, rows: Sequence[ParsedRow], known: set[str]) -> list[ExampleEvents]:
        made = (self._build_one(row, known) for row in rows)
        return [one for one in made if one is not None]

    def _build_one(self, row: ParsedRow, known: set[str]) -> ExampleEvents | None:
        if isinstance(row, RejectedRow):
            self._reject_row(row)
            return None
        try:
            feedback = self._event_builder.build_feedback(row)
            if feedback.id in known:
                self._counts.known += 1
                return None
            made = self._event_builder.build(row, feedback)
        except Rejected as error:
            self._reject_row(RejectedRow(row.where, error.code, str(error)))
        except ValueError as error:  # half of a surrogate pair, say: JSON can have it, UTF-8 can't
            self._reject_row(RejectedRow(row.where, "bad_text", f"it can't be written as an event: {error}"))
        else:
            known.add(feedback.id)
            return made
        return None

    async def _publish_all(self, send: RecordSender, made: Sequence[ExampleEvents]) -> None:
        """Requests, then predictions, then feedback: each confirmed before the next."""
        made = await self._publish_records(send, made, lambda one: one.request)
        logged = [one for one in made if one.prediction is not None]
        asked = await self._predict(send, [one for one in made if one.prediction is None])
        made = [*asked, *await self._publish_records(send, logged, lambda one: one.prediction)]
        self._counts.imported += len(await self._publish_records(send, made, lambda one: one.feedback))

    async def _publish_records(
        self, send: RecordSender, made: Sequence[ExampleEvents], record: Callable[[ExampleEvents], Record | None]
    ) -> list[ExampleEvents]:
        """Those whose record is in the log; one that Kafka refuses is unusable. Raises what may pass."""
        sent = []
        records = [found for one in made if (found := record(one)) is not None]
        for one, error in zip(made, await publish_confirmed(send, records), strict=True):
            if isinstance(error, Unpublishable):
                self._reject_row(RejectedRow(one.where, "unpublishable", str(error)))
            elif error is not None:
                raise error
            else:
                sent.append(one)
        return sent

    async def _predict(self, send: RecordSender, made: Sequence[ExampleEvents]) -> list[ExampleEvents]:
        """Those that the champion has predicted, by the inference agent's own handler and guard."""

        async def publish(records: Sequence[Record]) -> Sequence[Exception | None]:
            errors = await publish_confirmed(send, records)
            for record in records:
                if header_text(record.headers, "ce_type") == PredictionFailed.type:
                    answer = PredictionFailed.model_validate_json(record.value or b"")
                    self._failures[answer.prediction_id] = f"{answer.error.code}: {answer.error.reason}"
            return errors

        if made:
            await DeliveryGuard(STAGE, self._handler, publish, self._handler.reject).deliver(
                [_consumed_record(position, one.features) for position, one in enumerate(made)]
            )
        for one in made:
            if one.prediction_id in self._failures:
                self._reject_row(RejectedRow(one.where, "not_predicted", self._failures[one.prediction_id]))
        return [one for one in made if one.prediction_id not in self._failures]

    def _reject_row(self, row: RejectedRow) -> None:
        self._counts.rejected += 1
        self._reject(row)


def _consumed_record(position: int, record: Record) -> ConsumedRecord:
    origin = Origin(TopicId(SOURCE), record.topic, 0, position, round(time.time() * 1000))
    return ConsumedRecord(origin, record.key, record.value, record.headers)
