"""The archive: a Delta table for each topic on blob storage, to which each record is written exactly once.

A commit says, for each partition in it, the last offset that it holds, as a transaction of an application of Delta's
protocol (https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers). The application's id has
the log epoch in it, so that a topic that is deleted and made again begins anew.

Readers go through `Archive.readable(topic)`, which says what is wrong with a table that can't be read.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from app.errors import SetupError, Unavailable
from app.eventlog.diagnosis import check_schema, diagnose_errors, summarize_error
from app.eventlog.schema import SCHEMA, to_table
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.monitoring import metrics
from app.settings import Settings
from app.storage.blob_store import blob_store
from app.storage.delta import storage_options

_TABLE_PROPERTIES = {
    # Every commit is a file of the log, and readers never go back in time by more than the day that a replay may take.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "50",
    # Delta's log keeps what it says of files that are gone: nothing of a person may be in it.
    "delta.dataSkippingStatsColumns": "partition,offset,logged,time",
}


class ArchiveGap(Exception):
    """A record that stands beyond what is archived of its partition: `start` is the first offset that is missing."""

    def __init__(self, origin: Origin, start: int) -> None:
        super().__init__(f"{origin.position}: from offset {start} on nothing is archived")
        self.origin = origin
        self.start_offset = start


class Archive:
    """The tables of one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = f"{settings.blob_store_url.rstrip('/')}/events"
        self._blobs = blob_store(settings)
        self._options = storage_options(settings)

    def uri(self, topic: str) -> str:
        """Where a topic's table is."""
        return f"{self._root}/{topic}"

    def directory(self, topic: str) -> Path | None:
        """The directory of a topic's table; None where the storage is no directory."""
        parts = urlsplit(self.uri(topic))
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    def table(self, topic: str) -> DeltaTable | None:
        """A topic's table as it is now; None before anything of the topic was archived. SetupError as `readable`."""
        with self.diagnose_errors(topic):
            try:
                table = DeltaTable(self.uri(topic), storage_options=self._options)
            except TableNotFoundError:
                return None
        check_schema(topic, table)
        return table

    def diagnose_errors(self, topic: str) -> AbstractContextManager[None]:
        """For reading a topic's table, and nothing else: SetupError names the file that is damaged, and the remedy."""
        return diagnose_errors(self._settings, topic, self.uri(topic))

    def append(self, records: Sequence[ConsumedRecord], complete_from: Mapping[str, int] = MappingProxyType({})) -> int:
        """Write the records of one topic that are not archived yet, in one commit; how many these were.

        Raises `Gap` where a partition's records don't go on from what is archived of it, once all before is written.
        `since` says, by `application`, the offset from which on nothing is left out, up to these records, that Kafka
        holds: then a gap that begins there has no records. Raises `Unavailable` when the storage is away, the table
        can't be written, or another writer was faster: try again.
        """
        topic = records[0].origin.topic
        try:
            table = self.table(topic) or self._create(topic)
            new, ends, gap = _select_unarchived(records, table, complete_from)
            if new:
                self._commit(table, new, [Transaction(app, offset) for app, offset in ends.items()])
        except SetupError as error:
            raise Unavailable(f"{error}") from error
        except (DeltaError, OSError) as error:
            raise Unavailable(f"the archive of {topic} at {self.uri(topic)}: {summarize_error(error)}") from error
        if gap is not None:
            raise gap
        return len(new)

    def _commit(self, table: DeltaTable, new: Sequence[ConsumedRecord], transactions: list[Transaction]) -> None:
        with metrics.ARCHIVE_SECONDS.time():
            rows = to_table(new, self._blobs.put)
            write_deltalake(
                table, rows, mode="append", commit_properties=CommitProperties(app_transactions=transactions)
            )
        metrics.ARCHIVED.labels(new[0].origin.topic).inc(len(new))

    def _create(self, topic: str) -> DeltaTable:
        if (directory := self.directory(topic)) is not None:
            directory.mkdir(parents=True, exist_ok=True)
        return DeltaTable.create(
            self.uri(topic),
            SCHEMA,
            mode="ignore",
            partition_by=["day"],
            configuration=_TABLE_PROPERTIES,
            storage_options=self._options,
        )


def transaction_app_id(epoch: TopicId, partition: int) -> str:
    """The id under which a partition's last archived offset is kept in its table."""
    return f"{epoch}/{partition}"


def last_archived_offset(table: DeltaTable | None, epoch: TopicId, partition: int) -> int:
    """The last offset of a partition that is archived; -1 for none."""
    last = None if table is None else table.transaction_version(transaction_app_id(epoch, partition))
    return -1 if last is None else last


def _select_unarchived(
    records: Sequence[ConsumedRecord], table: DeltaTable, complete_from: Mapping[str, int]
) -> tuple[list[ConsumedRecord], dict[str, int], ArchiveGap | None]:
    """The records that are new, up to the first gap; the last offset of each application in them; and that gap."""
    lasts: dict[str, int] = {}
    ends: dict[str, int] = {}
    new: list[ConsumedRecord] = []
    for record in records:
        origin = record.origin
        app = transaction_app_id(origin.topic_id, origin.partition)
        if app not in lasts:
            lasts[app] = last_archived_offset(table, origin.topic_id, origin.partition)
        last = lasts[app]
        if origin.offset <= last:  # redelivered, or archived by another process
            continue
        if origin.offset > last + 1 and complete_from.get(app, origin.offset) > last + 1:
            return new, ends, ArchiveGap(origin, last + 1)
        lasts[app] = ends[app] = origin.offset
        new.append(record)
    return new, ends, None
