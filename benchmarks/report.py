"""The results as tables, on the console and in Markdown, and as JSON."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.latency import STAGES, Latency, LatencyDistribution
from benchmarks.results import BenchmarkResults


@dataclass(frozen=True)
class TableSection:
    """A table with its title and notes."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


READERS = {
    "consumer": "aiokafka consumes the topics",
    "scan": "DuckDB scans the archive's files, all columns",
    "copy": "DuckDB copies them to a Parquet file",
    "replay": "replay: joined, labelled and sorted by DuckDB, to Parquet",
}
SHARED_CORES_NOTE = "The load generator runs on the same cores as the platform, and takes its share of them."


def build_sections(results: BenchmarkResults) -> list[TableSection]:
    """Return all tables of a run."""
    sections = [
        *(_targets(results), _latency(results), *map(_stages, results.latency)),
        *(_throughput(results), _cpu_time(results), _sweep(results)),
        *(_tasks(results), _replay(results), _memory(results)),
        TableSection("Machine", ("", ""), list(results.machine.items())),
    ]
    return [section for section in sections if section.rows]


def _targets(results: BenchmarkResults) -> TableSection:
    rows = [(target.name, target.found, target.aimed, "met" if target.met else "MISSED") for target in results.targets]
    notes = [f"{name}: {ratio:.2f}" for name, ratio in results.ratios.items()]
    if results.disturbed_phases:
        phases = ", ".join(f"{cores:.1f} cores ({name})" for name, cores in results.disturbed_phases.items())
        notes.append(f"PROVISIONAL: the machine was not quiet. Other processes used {phases}.")
    return TableSection("Targets", ("", "measured", "target", ""), rows, notes)


def _latency(results: BenchmarkResults) -> TableSection:
    rows = [
        (
            f"{load.rate:g}",
            *(f"{value:.1f}" for value in (load.total.p50, load.total.p90, load.total.p99, load.total.max)),
            str(load.requests),
            f"{load.unanswered} / {load.failed}",
            f"{load.busy.total:.2f}" if load.busy else "",
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


def _stages(load: Latency) -> TableSection:
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


def _throughput(results: BenchmarkResults) -> TableSection:
    rows = [
        (
            f"platform, backlog {number}",
            f"{drain.per_second:.0f}",
            f"{drain.first_to_last:.0f} from first to last answer",
        )
        for number, drain in enumerate(results.saturated, 1)
    ]
    for peer in results.alone:
        threads = f"{peer.threads or 'default'} threads of ONNX Runtime, {peer.cpu_ms:.2f} ms of CPU time each"
        rows.append(("one at a time", f"{peer.per_second:.0f}", threads))
    if results.limit:
        best = results.limit.best
        batches = f"batches of {best.batch_size}, {best.at_once} at a time, {best.threads} threads each"
        rows.append(("limit: ONNX Runtime alone", f"{best.per_second:.0f}", batches))
        times = f"preprocess {results.limit.preprocess_ms:.2f} ms, decode {results.limit.decode_ms:.2f} ms each"
        rows.append(("the same with preprocessing and decoding", f"{results.limit.whole:.0f}", times))
    return TableSection("Saturated throughput", ("", "lines/s", ""), rows)


def _cpu_time(results: BenchmarkResults) -> TableSection:
    if not results.saturated:
        return TableSection("", (), ())
    drain = results.median_drain
    cpu_ms = drain.busy.milliseconds_each(drain.requests)
    rows = [(name, f"{ms:.2f}", f"{drain.busy.by_process[name]:.2f}") for name, ms in cpu_ms.items()]
    rows.append(("total", f"{sum(cpu_ms.values()):.2f}", f"{drain.busy.total:.2f}"))
    notes = [
        f"Other processes used {drain.busy.others:.2f} cores. Preprocessing ran at {drain.features_per_second:.0f}/s."
    ]
    if drain.failed:
        notes.append(f"{drain.failed} of {drain.requests} answers are failures.")
    return TableSection("CPU time, saturated", ("process", "CPU ms for each line", "cores"), rows, notes)


def _sweep(results: BenchmarkResults) -> TableSection:
    if results.limit is None:
        return TableSection("", (), ())
    rows = [
        (str(speed.batch_size), str(speed.threads), str(speed.at_once), f"{speed.per_second:.0f}")
        for speed in results.limit.sweep
    ]
    return TableSection("ONNX Runtime alone", ("batch", "threads", "at once", "lines/s"), rows)


def _tasks(results: BenchmarkResults) -> TableSection:
    rows = []
    for name, cost in results.tasks.items():
        speeds = (cost.drain.per_second, cost.peer.per_second, cost.limit.whole, cost.limit.best.per_second)
        ratios = (cost.peer_ratio, cost.end_to_end_ratio, cost.limit_ratio)
        times = (cost.limit.preprocess_ms, cost.limit.decode_ms)
        rows.append(
            (
                name,
                *(f"{speed:.0f}" for speed in speeds),
                *(f"{ratio:.2f}" for ratio in ratios),
                *(f"{ms:.2f}" for ms in times),
            )
        )
    speed_columns = ("platform /s", "one at a time /s", "ONNX Runtime, end to end /s", "ONNX Runtime alone /s")
    ratio_columns = ("platform / one at a time", "/ end to end", "/ alone", "preprocess ms", "decode ms")
    return TableSection("The other tasks, saturated", ("task", *speed_columns, *ratio_columns), rows)


def _replay(results: BenchmarkResults) -> TableSection:
    if results.whole is None:
        return TableSection("", (), ())
    comparison = results.whole
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


def _memory(results: BenchmarkResults) -> TableSection:
    if results.at_rest is None:
        return TableSection("", (), ())
    after = results.after_load.by_process if results.after_load else {}
    rows = [
        (name, f"{mib:.0f}", f"{after[name]:.0f}" if name in after else "")
        for name, mib in results.at_rest.by_process.items()
    ]
    rows.append(
        ("total", f"{results.at_rest.total:.0f}", f"{results.after_load.total:.0f}" if results.after_load else "")
    )
    starts = [f"{name}: {seconds:.1f} s until ready" for name, seconds in results.starts.items()]
    return TableSection(
        "Memory of the whole stack", ("process", f"at rest, MiB {results.at_rest.kind}", "after all load"), rows, starts
    )


def print_results(results: BenchmarkResults, console: Console) -> None:
    """Print all tables on the console."""
    for section in build_sections(results):
        table = Table(title=section.title, title_justify="left", title_style="bold")
        for number, column in enumerate(section.columns):
            table.add_column(column, justify="right" if number and column else "left", no_wrap=not number)
        for row in section.rows:
            table.add_row(*row, style="red" if "MISSED" in row else "")
        console.print("", table)
        for note in section.notes:
            console.print(note, markup=False)


def render_markdown(results: BenchmarkResults) -> str:
    """Return all tables as Markdown."""
    lines = ["# Benchmark", ""]
    for section in build_sections(results):
        lines += [f"## {section.title}", "", f"| {' | '.join(section.columns)} |"]
        lines.append(f"|{'---|' * len(section.columns)}")
        lines += [f"| {' | '.join(row)} |" for row in section.rows]
        lines += ["", *(f"{note}\n" for note in section.notes)]
    return "\n".join(lines)


def save_results(results: BenchmarkResults, folder: Path, name: str) -> Path:
    """Write the results as JSON and Markdown; return the path of the Markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = [asdict(target) for target in results.targets]
    document = {**asdict(results), "throughput": results.throughput, "ratios": results.ratios, "aims": targets}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    path = folder / f"{name}.md"
    path.write_text(render_markdown(results))
    return path
