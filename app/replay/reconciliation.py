"""Reconciliation of a replay: every record that was read is in a row, skipped or rejected."""

from typing import Any

import duckdb

from app.replay import disposition


def reconcile(connection: duckdb.DuckDBPyConnection, written: int) -> dict[str, dict[str, Any]]:
    """Return the number of each topic's records by disposition. Raises AssertionError if one is unaccounted for."""
    counts: dict[str, dict[str, Any]] = {}
    for kind, query in disposition.DISPOSITIONS.items():
        [(read_count,)] = connection.execute(f"SELECT count(*) FROM log_{kind}").fetchall()
        rows = connection.execute(f"SELECT disposition, count(*) FROM ({query}) GROUP BY 1 ORDER BY 1").fetchall()
        records = dict(rows)
        counts[kind] = {
            "read": read_count,
            "rows": records.pop("row", 0),
            "skipped": {name.partition(":")[2]: n for name, n in records.items() if name.startswith("skipped:")},
            "rejected": {name.partition(":")[2]: n for name, n in records.items() if name.startswith("rejected:")},
        }
    check_counts(counts, written)
    return counts


def check_counts(counts: dict[str, dict[str, Any]], written: int) -> None:
    """Check that for each topic read = rows + skipped + rejected, and that each row has one prediction and one request.

    Raises AssertionError: a dataset that breaks the invariant is never written.
    """
    for kind, count in counts.items():
        accounted = count["rows"] + sum(count["skipped"].values()) + sum(count["rejected"].values())
        if count["read"] != accounted:
            raise AssertionError(f"{kind}: {count['read']} records were read, {accounted} are accounted for: {count}")
    for kind in ("predictions", "requests"):
        if counts[kind]["rows"] != written:
            raise AssertionError(f"{written} rows were written of {counts[kind]['rows']} {kind}")


def read_offset_ranges(connection: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """Return the offset ranges that were read, by topic."""
    ranges: dict[str, list[dict[str, Any]]] = {}
    for kind in (*disposition.DISPOSITIONS, "outcomes"):
        rows = connection.execute(
            'SELECT topic, epoch, "partition", min("offset"), max("offset"), count(*) '
            f"FROM log_{kind} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for topic, epoch, partition, first, last, count in rows:
            ranges.setdefault(topic, []).append(
                {"epoch": epoch, "partition": partition, "first": first, "last": last, "records": count}
            )
    return ranges
