"""Records as they are read back from the archive."""

from pathlib import Path

from hypothesis import given

from app.eventlog.schema import to_table
from app.eventlog.snapshot import record_from_row, records_from_batch
from app.events.cloudevents import ConsumedRecord
from app.storage.file_blobs import FileBlobs
from tests.support.record_strategies import log_strategy


@given(log_strategy())
def test_a_batch_of_rows_makes_the_records_that_were_archived(records: list[ConsumedRecord]) -> None:
    blobs = FileBlobs(Path("/nowhere").as_uri())
    table = to_table(records, blobs.put)
    slices = [table.slice(0, 1), table.slice(1)]  # an array that is a slice has an offset
    batches = [batch for part in slices for batch in part.to_batches()]
    assert [record for batch in batches for record in records_from_batch(batch, blobs, 0)] == records
    assert [record_from_row(row, blobs, 0) for row in table.to_pylist()] == records
