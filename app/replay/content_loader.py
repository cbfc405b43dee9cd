"""Loading of a dataset's wide columns: fetches claim checks, and extracts payloads from their envelopes."""

from collections import Counter
from typing import Any

import pyarrow as pa

from app.events.cloudevents import Event
from app.events.payload import extract_payload
from app.replay.dataset import SCHEMA
from app.replay.query import ReplayQuery
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Rejected


class ContentLoader:
    """Fills the content column of batches of rows."""

    def __init__(self, settings: Settings, arguments: ReplayQuery) -> None:
        self._fetch = blob_store(settings).get
        self._limit = settings.max_blob_bytes
        self._content = arguments.content
        self._max_payload = arguments.task.max_payload_bytes

    def fill(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
        """Return the batch with the columns of a dataset, and the number of rows without content by reason."""
        missing = Counter(code for code in batch.column("code").to_pylist() if code is not None)
        columns = {name: batch.column(name) for name in SCHEMA.names}
        # Usually there is nothing to fetch or extract, and whole columns are passed on.
        if self._content == "payload" or batch.column("data_uri").null_count < batch.num_rows:
            contents = [self._load(row, missing) for row in batch.to_pylist()]
            columns[self._content] = pa.array(contents, pa.binary())
        arrays = [columns[field.name].cast(field.type) for field in SCHEMA]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA), missing

    def _load(self, row: dict[str, Any], missing: Counter[str]) -> bytes | None:
        value: bytes | None = row[self._content]
        try:
            if row["data_uri"] is not None:
                value = self._fetch(row["data_uri"], self._limit)
            if self._content == "payload":
                event = Event("", "", "", "", value or b"", content_type=row["r_content_type"])
                value = extract_payload(event, self._fetch, self._max_payload, max(self._limit, self._max_payload))
        except Rejected as error:
            missing[error.code] += 1
            return None
        return value
