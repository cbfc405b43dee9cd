"""Replay and its peers as a table."""

from benchmarks.results import BenchmarkResults
from benchmarks.tables.section import EMPTY, TableSection

READERS = {
    "consumer": "aiokafka consumes the topics",
    "scan": "DuckDB scans the archive's files, all columns",
    "copy": "DuckDB copies them to a Parquet file",
    "replay": "replay: joined, labelled and sorted by DuckDB, to Parquet",
}


def replay_table(results: BenchmarkResults) -> TableSection:
    """Return the time and memory of each reader of the log."""
    if results.replay is None:
        return EMPTY
    comparison = results.replay
    rows = [
        (
            READERS[name],
            f"{comparison.events / run.seconds:.0f}",
            *(f"{value:.1f}" for value in (run.seconds, run.cpu_seconds)),
            f"{run.peak_mib:.0f}",
        )
        for name, run in comparison.readings.items()
    ]
    notes = [
        f"{comparison.events} events of one task: requests, features, predictions and feedback. "
        f"The archive wrote {comparison.archived_per_second:.0f}/s of them from a backlog.",
        "All files are in the page cache. CPU seconds are the reader's own, without the broker's.",
    ]
    columns = ("", "events/s", "seconds", "CPU seconds", "peak MiB")
    return TableSection("Reading the whole log", columns, rows, notes)
