"""Upcasting of events of earlier versions: afterwards the views of `duckdb_views` hold current versions only."""

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
"""The types that SQL reads; feedback is decoded in Python."""


def upcast_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Replace events of earlier versions in the views of types that SQL reads."""
    for kind, event_type in _SQL_EVENT_TYPES.items():
        name, current = split_version(event_type.type)
        types = [text for (text,) in connection.execute(f'SELECT DISTINCT "type" FROM log_{kind}').fetchall() if text]
        old_types = [text for text in types if split_version(text)[0] == name and split_version(text)[1] < current]
        if not old_types:
            continue
        old_list = ", ".join(f"'{text}'" for text in old_types)
        columns = "* EXCLUDE (data), data"
        connection.execute(f"CREATE TABLE upcast_{kind} AS SELECT {columns} FROM log_{kind} LIMIT 0")
        for batch in stream_batches(
            connection, f'SELECT {columns} FROM log_{kind} WHERE "type" IN ({old_list})', _BATCH_ROWS
        ):
            connection.register("batch", _upcast_batch(batch, event_type))
            connection.execute(f"INSERT INTO upcast_{kind} FROM batch")
        connection.execute(f"ALTER VIEW log_{kind} RENAME TO original_{kind}")
        connection.execute(
            f"CREATE VIEW log_{kind} AS SELECT {columns} FROM original_{kind} "
            f'WHERE coalesce("type" NOT IN ({old_list}), TRUE) UNION ALL FROM upcast_{kind}'
        )


def _upcast_batch(batch: pa.RecordBatch, event_type: type[EventData]) -> pa.Table:
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    originals = zip(columns["type"].to_pylist(), columns["data"].to_pylist(), strict=True)
    upcasted = pa.array([_upcast(name, data or b"") for name, data in originals], pa.binary())
    return pa.table(columns | {"type": pa.array([event_type.type] * len(upcasted)), "data": upcasted})


def _upcast(type_name: str, data: bytes) -> bytes | None:
    try:
        return decode(type_name, data).model_dump_json().encode()
    except Rejected:
        return None  # it stays unreadable
