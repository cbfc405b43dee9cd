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
from app.events.cloudevents import Incoming, LogEpoch, Origin, Record, header
from app.events.types import PredictionFailed
from app.importers.example import Found, Unusable
from app.importers.example_events import SOURCE, Ready, Records
from app.inference.handler import STAGE, InferenceHandler
from app.inference.mlserver.client import InferenceClient
from app.inference.routing import champion_alone
from app.kafka.producers import Send, publish_confirmed, publisher
from app.settings import Settings
from app.streams.delivery import Guard
from models.base import Rejected, Task


@dataclass
class Counts:
    """What became of the rows of a source."""

    imported: int = 0
    known: int = 0
    rejected: int = 0

    @property
    def all(self) -> int:
        """How many rows there were."""
        return self.imported + self.known + self.rejected


class Importer:
    """Imports one source. `actor` says all that it says; each row that can't be imported is told to `reject`."""

    def __init__(
        self, settings: Settings, task: Task, source: str, actor: str, reject: Callable[[Unusable], None]
    ) -> None:
        self._settings = settings
        self._task = task
        self._reject = reject
        self._records = Records(settings, task, source, actor)
        self._handler = InferenceHandler(
            settings, task, champion_alone(settings, task), partial(InferenceClient, settings)
        )
        self._failed: dict[str, str] = {}
        self._counts = Counts()

    async def run(self, found: Iterable[Found], progress: Callable[[int], None]) -> Counts:
        """Import everything. Raises KafkaError without a broker, OSError while a storage is away."""
        known = await asyncio.to_thread(self._known)
        rows = iter(found)
        async with publisher(self._settings) as send:
            # Reading and preprocessing take a while: in a thread, so that this loop goes on.
            while chunk := await asyncio.to_thread(lambda: list(islice(rows, self._settings.batch_size))):
                await self._record(send, await asyncio.to_thread(self._made, chunk, known))
                progress(self._counts.all)
        return self._counts

    def _known(self) -> set[str]:
        """The feedback that earlier imports have brought into the log, by its ids."""
        topic = topics.feedback(self._task.name)
        with TemporaryDirectory() as scratch:
            taken = asyncio.run(snapshot.take(self._settings, [topic], Path(scratch)))[topic]
            ids = taken.dataset().to_table(["id"], filter=ds.field("source") == SOURCE)["id"]
            return set(ids.to_pylist())

    def _made(self, rows: Sequence[Found], known: set[str]) -> list[Ready]:
        made = (self._ready(row, known) for row in rows)
        return [one for one in made if one is not None]

    def _ready(self, row: Found, known: set[str]) -> Ready | None:
        if isinstance(row, Unusable):
            self._unusable(row)
            return None
        try:
            feedback = self._records.feedback(row)
            if feedback.id in known:
                self._counts.known += 1
                return None
            made = self._records.of(row, feedback)
        except Rejected as error:
            self._unusable(Unusable(row.where, error.code, str(error)))
        except ValueError as error:  # half of a surrogate pair, say: JSON can have it, UTF-8 can't
            self._unusable(Unusable(row.where, "bad_text", f"it can't be written as an event: {error}"))
        else:
            known.add(feedback.id)
            return made
        return None

    async def _record(self, send: Send, made: Sequence[Ready]) -> None:
        """Requests, then predictions, then feedback: each confirmed before the next."""
        made = await self._sent(send, made, lambda one: one.request)
        logged = [one for one in made if one.prediction is not None]
        asked = await self._predicted(send, [one for one in made if one.prediction is None])
        made = [*asked, *await self._sent(send, logged, lambda one: one.prediction)]
        self._counts.imported += len(await self._sent(send, made, lambda one: one.feedback))

    async def _sent(self, send: Send, made: Sequence[Ready], record: Callable[[Ready], Record | None]) -> list[Ready]:
        """Those whose record is in the log; one that Kafka refuses is unusable. Raises what may pass."""
        sent = []
        records = [found for one in made if (found := record(one)) is not None]
        for one, error in zip(made, await publish_confirmed(send, records), strict=True):
            if isinstance(error, Unpublishable):
                self._unusable(Unusable(one.where, "unpublishable", str(error)))
            elif error is not None:
                raise error
            else:
                sent.append(one)
        return sent

    async def _predicted(self, send: Send, made: Sequence[Ready]) -> list[Ready]:
        """Those that the champion has predicted, by the inference agent's own handler and guard."""

        async def publish(records: Sequence[Record]) -> Sequence[Exception | None]:
            errors = await publish_confirmed(send, records)
            for record in records:
                if header(record.headers, "ce_type") == PredictionFailed.type:
                    answer = PredictionFailed.model_validate_json(record.value or b"")
                    self._failed[answer.prediction_id] = f"{answer.error.code}: {answer.error.reason}"
            return errors

        if made:
            await Guard(STAGE, self._handler, publish, self._handler.reject).deliver(
                [_incoming(position, one.features) for position, one in enumerate(made)]
            )
        for one in made:
            if one.prediction_id in self._failed:
                self._unusable(Unusable(one.where, "not_predicted", self._failed[one.prediction_id]))
        return [one for one in made if one.prediction_id not in self._failed]

    def _unusable(self, row: Unusable) -> None:
        self._counts.rejected += 1
        self._reject(row)


def _incoming(position: int, record: Record) -> Incoming:
    origin = Origin(LogEpoch(SOURCE), record.topic, 0, position, round(time.time() * 1000))
    return Incoming(origin, record.key, record.value, record.headers)
