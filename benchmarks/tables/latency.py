"""Latency as tables."""

from collections.abc import Iterable

from benchmarks.latency import STAGES, Latency, LatencyDistribution
from benchmarks.results import BenchmarkResults
from benchmarks.tables.section import TableSection

SHARED_CORES_NOTE = "The load generator runs on the same cores as the platform, and takes its share of them."


def latency_table(results: BenchmarkResults) -> TableSection:
    """Return the latency of each load."""
    cores = results.cores
    rows = [
        (
            f"{load.rate:g}",
            *(f"{value:.1f}" for value in (load.total.p50, load.total.p90, load.total.p99, load.total.max)),
            str(load.requests),
            f"{load.unanswered} / {load.failed}",
            f"{cores[load.rate]:.2f}" if load.rate in cores else "",
            f"{load.generator_cores:.2f}",
            f"{load.busy.others:.2f}" if load.busy else "",
        )
        for load in results.latency
    ]
    columns = ("requests/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "requests", "lost / failed")
    return TableSection(
        "Latency, from when a request is due until its answer is received",
        (*columns, "platform", "generator", "others"),
        rows,
        [results.load, "The last three columns are cores in use. " + SHARED_CORES_NOTE],
    )


def stage_table(load: Latency) -> TableSection:
    """Return the latency of each stage of a load."""
    rows = [(name, *_distribution_cells(load.stages[name]), description) for name, description in STAGES.items()]
    timings = {
        "preprocess": "the task's preprocessing",
        "inference": "the call of MLServer, for the whole batch",
        "queued": "total without preprocess and inference",
        "total": "from the request in the log until its answer is built",
    }
    rows += [
        (f"timings_ms.{name}", *_distribution_cells(distribution), timings[name])
        for name, distribution in load.timings.items()
    ]
    rows.append(("outside of total", *_distribution_cells(load.outside), "sending, publishing the answer, receiving"))
    note = "The first five stages follow each other, and their means add up; timings_ms is from the predictions."
    columns = ("stage", "mean ms", "p50", "p90", "p99", "")
    return TableSection(f"Latency by stage at {load.rate:g}/s", columns, rows, [note])


def _distribution_cells(distribution: LatencyDistribution) -> Iterable[str]:
    return (f"{value:.1f}" for value in (distribution.mean, distribution.p50, distribution.p90, distribution.p99))
