"""The archive: a Delta table for each topic on blob storage, to which each record is written exactly once.

A commit says, for each partition in it, the last offset that it holds, as a transaction of an application of Delta's
protocol (https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers). The application's id has
the log epoch in it, so that a topic that is deleted and made again begins anew.

Readers go through `Archive.readable(topic)`, which says what is wrong with a table that can't be read.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from app.blobs import blob_store
from app.cloudevents import LogEpoch
from app.delivery import Incoming, Unavailable
from app.embedded.errors import SetupError
from app.eventlog.readable import check_schema, readable
from app.eventlog.rows import SCHEMA, table_of
from app.eventlog.storage import storage_options
from app.settings import Settings

_CONFIGURATION = {"delta.logRetentionDuration": "interval 7 days", "delta.checkpointInterval": "50"}


class Archive:
    """The tables of one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = f"{settings.blobs.rstrip('/')}/events"
        self._blobs = blob_store(settings)
        self._options = storage_options(settings)

    def uri(self, topic: str) -> str:
        """Where a topic's table is."""
        return f"{self._root}/{topic}"

    def table(self, topic: str) -> DeltaTable | None:
        """A topic's table as it is now; None before anything of the topic was archived. SetupError as `readable`."""
        with self.readable(topic):
            try:
                table = DeltaTable(self.uri(topic), storage_options=self._options)
            except TableNotFoundError:
                return None
        check_schema(topic, table)
        return table

    def readable(self, topic: str) -> AbstractContextManager[None]:
        """For reading a topic's table, and nothing else: SetupError names the file that is damaged, and the remedy."""
        return readable(self._settings, topic, self.uri(topic))

    def append(self, records: Sequence[Incoming]) -> int:
        """Write the records of one topic that are not archived yet, in one commit; how many these were.

        Each partition's records come in the order of their offsets, and nothing is left out between them. Raises
        `Unavailable` when the storage is away, or another writer was faster: try again.
        """
        topic = records[0].origin.topic
        try:
            table = self.table(topic) or self._create(topic)
            last = {app: table.transaction_version(app) for app in {_of(record) for record in records}}
            new = [r for r in records if r.origin.offset > _or_before(last[_of(r)])]
            if not new:
                return 0
            ends = {_of(record): record.origin.offset for record in new}
            transactions = [Transaction(app, offset) for app, offset in ends.items()]
            rows = table_of(new, self._blobs.put)
            write_deltalake(
                table, rows, mode="append", commit_properties=CommitProperties(app_transactions=transactions)
            )
        except (DeltaError, OSError, SetupError) as error:
            raise Unavailable(f"the archive of {topic} at {self.uri(topic)}: {error}") from error
        return len(new)

    def _create(self, topic: str) -> DeltaTable:
        if self._root.startswith("file://"):
            Path(unquote(urlsplit(self.uri(topic)).path)).mkdir(parents=True, exist_ok=True)
        return DeltaTable.create(
            self.uri(topic),
            SCHEMA,
            mode="ignore",
            partition_by=["day"],
            configuration=_CONFIGURATION,
            storage_options=self._options,
        )


def application(epoch: LogEpoch, partition: int) -> str:
    """The id under which a partition's last archived offset is kept in its table."""
    return f"{epoch}/{partition}"


def _of(record: Incoming) -> str:
    return application(record.origin.epoch, record.origin.partition)


def _or_before(offset: int | None) -> int:
    return -1 if offset is None else offset
