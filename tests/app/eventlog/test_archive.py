"""Concurrent writers of one table: for example the old and the new member of a rebalanced group."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from deltalake import DeltaTable

from app.errors import Unavailable
from app.eventlog import archive as archives
from app.eventlog.archive import Archive, transaction_app_id
from app.events.cloudevents import ConsumedRecord, Origin, TopicId
from app.settings import Settings

TOPIC = "ocr.requests"
EPOCH = TopicId("cluster:topic")
LOGGED = 1_700_000_000_000


def records(partition: int, offsets: range) -> list[ConsumedRecord]:
    return [
        ConsumedRecord(Origin(EPOCH, TOPIC, partition, offset, LOGGED + offset), b"key", b"payload", ())
        for offset in offsets
    ]


def count_archived(storage: Settings) -> Counter[tuple[int, int]]:
    """Return how often each record is in the archive."""
    table = Archive(storage).table(TOPIC)
    assert table is not None
    rows = table.to_pyarrow_dataset().to_table(["partition", "offset"])
    return Counter(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))


class StaleArchive(Archive):
    """An archive that reads the table before another writer commits."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._stale_table = super().table(TOPIC)

    def table(self, topic: str) -> DeltaTable | None:
        stale_table, self._stale_table = self._stale_table, None
        return stale_table or super().table(topic)


def test_the_later_of_two_writers_of_the_same_records_fails_and_then_finds_them_archived(storage: Settings) -> None:
    Archive(storage).append(records(0, range(5)))
    late = StaleArchive(storage)
    assert Archive(storage).append(records(0, range(10))) == 5
    with pytest.raises(Unavailable, match="Concurrent transaction failed"):
        late.append(records(0, range(10)))
    assert late.append(records(0, range(10))) == 0
    assert count_archived(storage) == Counter((0, offset) for offset in range(10))


def test_a_later_writer_of_a_partition_fails_whatever_its_records(storage: Settings) -> None:
    Archive(storage).append(records(0, range(5)))
    late = StaleArchive(storage)
    Archive(storage).append(records(0, range(8)))
    Archive(storage).append(records(2, range(1)))  # the conflict is not with the newest version
    batch = [*records(0, range(6)), *records(1, range(3))]
    with pytest.raises(Unavailable):
        late.append(batch)
    assert late.append(batch) == 3
    assert count_archived(storage) == Counter(
        (partition, offset) for partition, end in ((0, 8), (1, 3), (2, 1)) for offset in range(end)
    )


def test_writers_of_different_partitions_do_not_hinder_each_other(storage: Settings) -> None:
    Archive(storage).append(records(0, range(5)))
    late = StaleArchive(storage)
    Archive(storage).append(records(1, range(5)))
    assert late.append(records(2, range(5))) == 5
    assert count_archived(storage) == Counter((partition, offset) for partition in range(3) for offset in range(5))


def test_concurrent_writers_lose_and_duplicate_nothing(storage: Settings) -> None:
    """All of them write the same partition, and each one of its own; none of them finds a table at first."""

    def write(writer: int) -> None:
        archive = Archive(storage)
        for end in range(10, 40, 10):
            append_with_retries(archive, [*records(0, range(end)), *records(writer, range(end))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 5)))
    assert count_archived(storage) == Counter((partition, offset) for partition in range(5) for offset in range(30))


def append_with_retries(archive: Archive, batch: Sequence[ConsumedRecord]) -> None:
    for _ in range(100):
        try:
            archive.append(batch)
        except Unavailable:
            continue
        return
    pytest.fail("another writer was always faster")


def test_archived_offsets_are_known_after_a_checkpoint_of_the_tables_log(
    storage: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(archives._TABLE_PROPERTIES, "delta.checkpointInterval", "5")
    archive = Archive(storage)
    archive.append(records(7, range(3)))
    for offset in range(8):  # beyond the first checkpoint
        archive.append(records(0, range(offset + 1)))
    table = archive.table(TOPIC)
    assert table is not None
    assert table.transaction_version(transaction_app_id(EPOCH, 7)) == 2
    assert archive.append(records(7, range(3))) == 0
