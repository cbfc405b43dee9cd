"""A replay reads an archive in a directory or on S3 and the tail in Kafka alike."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.replay import replay
from app.replay.query import ReplayQuery
from app.settings import Settings, TaskSettings
from tests.support.request_history import RequestHistory, append_to_log, take_snapshots, to_datetime
from tests.support.tasks import Letters

REQUESTS = [RequestHistory(number, f"payload {number}".encode()) for number in range(40)]
RECORDS = [
    (request.number + after, record)
    for request in REQUESTS
    for after, record in enumerate(
        (request.request_record(), request.features_record(Letters()), request.prediction_record())
    )
]
LOG = append_to_log([*RECORDS, *((60.0, request.feedback_record(1)) for request in REQUESTS[:5])])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_dataset_does_not_depend_on_what_is_archived_and_where(
    storage: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    archive = Archive(storage)

    async def take(settings: Settings, names: Iterable[str], scratch: Path) -> dict[str, snapshot.Snapshot]:
        return {
            name: snapshot.Snapshot(name, archive.table(name), tail.tail_files, {})
            for name, tail in take_snapshots(later, names, scratch).items()
        }

    until = to_datetime(share * 100).timestamp() * 1000
    earlier = [record for record in LOG if record.origin.timestamp_ms < until]
    later = [record for record in LOG if record.origin.timestamp_ms >= until]
    for topic in {record.origin.topic for record in earlier}:
        archive.append([record for record in earlier if record.origin.topic == topic])
    monkeypatch.setattr(snapshot, "take", take)
    arguments = ReplayQuery(Letters(), TaskSettings(), to_datetime(1000))
    rows, manifest = replay.read_dataframe(storage, arguments)
    later, archive = LOG, Archive(storage.model_copy(update={"blob_url": (tmp_path / "nothing").as_uri()}))
    assert replay.read_dataframe(storage, arguments)[1]["content_hash"] == manifest["content_hash"]
    assert rows.height == 40
    assert rows["label"].drop_nulls().len() == 5
