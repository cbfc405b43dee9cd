"""The accounts of a replay: what it read, what became of it, and the law that nothing is unaccounted for."""

from typing import Any

import duckdb

from app.replay import disposition


def reconcile(connection: duckdb.DuckDBPyConnection, written: int) -> dict[str, dict[str, Any]]:
    """What became of the records of each topic. Raises AssertionError if one is unaccounted for."""
    counts: dict[str, dict[str, Any]] = {}
    for kind, query in disposition.DISPOSITIONS.items():
        [(read,)] = connection.execute(f"SELECT count(*) FROM log_{kind}").fetchall()
        found = dict(connection.execute(f"SELECT fate, count(*) FROM ({query}) GROUP BY 1 ORDER BY 1").fetchall())
        counts[kind] = {
            "read": read,
            "rows": found.pop("row", 0),
            "skipped": {fate.partition(":")[2]: n for fate, n in found.items() if fate.startswith("skipped:")},
            "rejected": {fate.partition(":")[2]: n for fate, n in found.items() if fate.startswith("rejected:")},
        }
    check_counts(counts, written)
    return counts


def check_counts(counts: dict[str, dict[str, Any]], written: int) -> None:
    """The law of counts: of each topic read = rows + skipped + rejected, and each row is of one prediction and request.

    Raises AssertionError: a dataset that breaks it is never written.
    """
    for kind, count in counts.items():
        accounted = count["rows"] + sum(count["skipped"].values()) + sum(count["rejected"].values())
        if count["read"] != accounted:
            raise AssertionError(f"{kind}: {count['read']} records were read, {accounted} are accounted for: {count}")
    for kind in ("predictions", "requests"):
        if counts[kind]["rows"] != written:
            raise AssertionError(f"{written} rows were written of {counts[kind]['rows']} {kind}")


def read_offset_ranges(connection: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """The offsets that were really read, of each topic's partitions."""
    ranges: dict[str, list[dict[str, Any]]] = {}
    for kind in (*disposition.DISPOSITIONS, "outcomes"):
        found = connection.execute(
            'SELECT topic, epoch, "partition", min("offset"), max("offset"), count(*) '
            f"FROM log_{kind} GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        for topic, epoch, partition, first, last, count in found:
            ranges.setdefault(topic, []).append(
                {"epoch": epoch, "partition": partition, "first": first, "last": last, "records": count}
            )
    return ranges
