"""A replay reads what is archived in a directory and on S3 as what only Kafka has."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from app.eventlog import snapshot
from app.eventlog.archive import Archive
from app.replay import replay
from app.replay.query import Arguments
from app.settings import Settings, TaskSettings
from tests.support.request_history import Request, logged, moment, snapshots
from tests.support.tasks import Letters

REQUESTS = [Request(number, f"payload {number}".encode()) for number in range(40)]
RECORDS = [
    (request.number + after, record)
    for request in REQUESTS
    for after, record in enumerate((request.asked(), request.extracted(Letters()), request.predicted()))
]
LOG = logged([*RECORDS, *((60.0, request.corrected(1)) for request in REQUESTS[:5])])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_it_makes_no_difference_how_much_is_archived_and_where(
    storage: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    archive = Archive(storage)

    async def take(settings: Settings, names: Iterable[str], scratch: Path) -> dict[str, snapshot.Snapshot]:
        return {
            name: snapshot.Snapshot(name, archive.table(name), of_tail.tail, {})
            for name, of_tail in snapshots(later, names, scratch).items()
        }

    until = moment(share * 100).timestamp() * 1000
    earlier = [record for record in LOG if record.origin.timestamp_ms < until]
    later = [record for record in LOG if record.origin.timestamp_ms >= until]
    for topic in {record.origin.topic for record in earlier}:
        archive.append([record for record in earlier if record.origin.topic == topic])
    monkeypatch.setattr(snapshot, "take", take)
    arguments = Arguments(Letters(), TaskSettings(), moment(1000))
    rows, manifest = replay.frame(storage, arguments)
    later, archive = LOG, Archive(storage.model_copy(update={"blob_url": (tmp_path / "nothing").as_uri()}))
    assert replay.frame(storage, arguments)[1]["content_hash"] == manifest["content_hash"]
    assert rows.height == 40
    assert rows["label"].drop_nulls().len() == 5
