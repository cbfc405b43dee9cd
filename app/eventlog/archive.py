"""The archive: a Delta table per topic on blob storage, in which each record is written exactly once.

Each commit stores the last offset of each of its partitions as an application transaction of Delta's protocol
(https://github.com/delta-io/delta/blob/master/PROTOCOL.md#transaction-identifiers). The application's id contains the
cluster and topic id, so that a topic that is deleted and created again starts anew.

Readers use `Archive.diagnose_errors(topic)`, which explains why a table can't be read.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
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
    # Every commit is a file of the log. Readers need old versions for the duration of a replay: at most a day.
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.checkpointInterval": "50",
    # Delta's log keeps the statistics of deleted files: they must not contain personal data.
    "delta.dataSkippingStatsColumns": "partition,offset,logged,time",
}


class ArchiveGap(Exception):
    """A record is beyond the end of its partition's archive: `start_offset` is the first missing offset."""

    def __init__(self, origin: Origin, start: int) -> None:
        super().__init__(f"{origin.position}: the archive ends before offset {start}")
        self.origin = origin
        self.start_offset = start


class Archive:
    """The archive tables of a deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = f"{settings.blob_store_url.rstrip('/')}/events"
        self._blobs = blob_store(settings)
        self._options = storage_options(settings)

    def uri(self, topic: str) -> str:
        """Return the URI of a topic's table."""
        return f"{self._root}/{topic}"

    def directory(self, topic: str) -> Path | None:
        """Return the directory of a topic's table; None if the storage is not a directory."""
        url = urlsplit(self.uri(topic))
        return Path(unquote(url.path)) if url.scheme == "file" else None

    def table(self, topic: str) -> DeltaTable | None:
        """Return the current table of a topic; None before the first record. Raises SetupError as `diagnose_errors`."""
        with self.diagnose_errors(topic):
            try:
                table = DeltaTable(self.uri(topic), storage_options=self._options)
            except TableNotFoundError:
                return None
        check_schema(topic, table)
        return table

    def diagnose_errors(self, topic: str) -> AbstractContextManager[None]:
        """Return a context for reading the topic's table that raises SetupError with the damaged file and remedy."""
        return diagnose_errors(self._settings, topic, self.uri(topic))

    def append(self, records: Sequence[ConsumedRecord], complete_from: Mapping[str, int] = MappingProxyType({})) -> int:
        """Write the records of one topic that are not archived yet, in one commit; return how many.

        Raises `ArchiveGap` if a partition's records do not continue its archive, after writing all records before the
        gap. `complete_from` gives, by `transaction_app_id`, the offset from which the records include all that Kafka
        holds: a gap that begins there has no records. Raises `Unavailable` if the storage is unreachable, the table
        can't be written, or another writer committed first: try again.
        """
        topic = records[0].origin.topic
        try:
            table = self.table(topic) or self._create(topic)
            new, ends, gap = _select_unarchived(records, table, complete_from)
            if new:
                self._commit(table, new, [Transaction(app_id, offset) for app_id, offset in ends.items()])
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


@lru_cache(maxsize=1024)
def transaction_app_id(epoch: TopicId, partition: int) -> str:
    """Return the application id that stores a partition's last archived offset in its table."""
    return f"{epoch}/{partition}"


def last_archived_offset(table: DeltaTable | None, epoch: TopicId, partition: int) -> int:
    """Return the last archived offset of a partition; -1 if there is none."""
    last = None if table is None else table.transaction_version(transaction_app_id(epoch, partition))
    return -1 if last is None else last


def _select_unarchived(
    records: Sequence[ConsumedRecord], table: DeltaTable, complete_from: Mapping[str, int]
) -> tuple[list[ConsumedRecord], dict[str, int], ArchiveGap | None]:
    """Return the new records before the first gap, their last offset by application id, and the gap."""
    archived_offsets: dict[str, int] = {}
    ends: dict[str, int] = {}
    new: list[ConsumedRecord] = []
    for record in records:
        origin = record.origin
        app_id = transaction_app_id(origin.topic_id, origin.partition)
        if app_id not in archived_offsets:
            archived_offsets[app_id] = last_archived_offset(table, origin.topic_id, origin.partition)
        archived_offset = archived_offsets[app_id]
        if origin.offset <= archived_offset:  # redelivered, or archived by another process
            continue
        if origin.offset > archived_offset + 1 and complete_from.get(app_id, origin.offset) > archived_offset + 1:
            return new, ends, ArchiveGap(origin, archived_offset + 1)
        archived_offsets[app_id] = ends[app_id] = origin.offset
        new.append(record)
    return new, ends, None
