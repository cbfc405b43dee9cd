"""Events of earlier versions, read as those of today: the views of `scan` hold no others."""

import duckdb
import pyarrow as pa

from app.events.base import EventData
from app.events.cloudevents import split_version
from app.events.decoding import decode
from app.events.types import OutcomeRecorded, PredictionMade
from app.replay.duckdb_views import stream_batches
from models.base import Rejected

_BATCH_ROWS = 10_000
_SQL_EVENT_TYPES: dict[str, type[EventData]] = {"predictions": PredictionMade, "outcomes": OutcomeRecorded}
"""Feedback is read by `decode` itself."""


def upcast_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Put the present version in place of the earlier ones in the views of types that SQL reads."""
    for kind, data in _SQL_EVENT_TYPES.items():
        name, current = split_version(data.type)
        said = [one for (one,) in connection.execute(f'SELECT DISTINCT "type" FROM log_{kind}').fetchall() if one]
        old = [one for one in said if split_version(one)[0] == name and split_version(one)[1] < current]
        if not old:
            continue
        listed = ", ".join(f"'{one}'" for one in old)
        columns = "* EXCLUDE (data), data"
        connection.execute(f"CREATE TABLE upcast_{kind} AS SELECT {columns} FROM log_{kind} LIMIT 0")
        for batch in stream_batches(
            connection, f'SELECT {columns} FROM log_{kind} WHERE "type" IN ({listed})', _BATCH_ROWS
        ):
            connection.register("batch", _upcast_batch(batch, data))
            connection.execute(f"INSERT INTO upcast_{kind} FROM batch")
        connection.execute(f"ALTER VIEW log_{kind} RENAME TO written_{kind}")
        connection.execute(
            f"CREATE VIEW log_{kind} AS SELECT {columns} FROM written_{kind} "
            f'WHERE coalesce("type" NOT IN ({listed}), TRUE) UNION ALL FROM upcast_{kind}'
        )


def _upcast_batch(batch: pa.RecordBatch, kind: type[EventData]) -> pa.Table:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    written = zip(columns["type"].to_pylist(), columns["data"].to_pylist(), strict=True)
    said = pa.array([_upcast(name, data or b"") for name, data in written], pa.binary())
    return pa.table(columns | {"type": pa.array([kind.type] * len(said)), "data": said})


def _upcast(name: str, data: bytes) -> bytes | None:
    try:
        return decode(name, data).model_dump_json().encode()
    except Rejected:
        return None  # as unreadable as it was
