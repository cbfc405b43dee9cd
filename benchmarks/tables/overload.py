"""An overload as a table."""

from benchmarks.overload import NORMAL_FACTOR, Overload
from benchmarks.results import BenchmarkResults
from benchmarks.tables.section import EMPTY, TableSection


def overload_table(results: BenchmarkResults) -> TableSection:
    """Return what became of the requests of an overload."""
    if results.overload is None:
        return EMPTY
    overload = results.overload
    rows = [
        ("requests", str(overload.requests)),
        ("without an answer", str(overload.unanswered)),
        ("answered with a failure", str(overload.failed)),
        (f"p50 / p99 before, {overload.base_rate:g}/s", f"{overload.before.p50:.0f} / {overload.before.p99:.0f} ms"),
        (
            f"p50 / p99 of what is answered, {overload.overload_rate:g}/s",
            f"{overload.during.p50:.0f} / {overload.during.p99:.0f} ms",
        ),
        ("from its end until p99 is normal", _describe_recovery(overload)),
    ]
    note = f"p99 is normal while it is at most {NORMAL_FACTOR:g} times what it was before."
    return TableSection(f"An overload of {overload.overload_seconds:g} s", ("", ""), rows, [note])


def _describe_recovery(overload: Overload) -> str:
    if overload.recovery_seconds is None:
        return f"more than {overload.observed_seconds:g} s"
    return f"{overload.recovery_seconds:g} s"
