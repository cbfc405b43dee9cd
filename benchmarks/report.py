"""The figures as tables: on the console, in Markdown, and all of them as JSON."""

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
    """A table with a title, and what has to be known to read it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


READERS = {
    "consumer": "aiokafka consumes the topics",
    "scan": "DuckDB scans the archive's files, all columns",
    "copy": "DuckDB copies them to a Parquet file",
    "replay": "replay: DuckDB, joined, judged, in order, to Parquet",
}
SHARED_CORES_NOTE = "The load generator runs on the same cores as the platform: what it takes, the platform lacks."


def build_sections(results: BenchmarkResults) -> list[TableSection]:
    """All tables of a run."""
    made = [_aims(results), _latency(results), *map(_stages, results.latency)]
    made += [_throughput(results), _work(results), _sweep(results), _tasks(results), _replay(results), _memory(results)]
    made.append(TableSection("Machine", ("", ""), list(results.machine.items())))
    return [section for section in made if section.rows]


def _aims(results: BenchmarkResults) -> TableSection:
    rows = [(aim.name, aim.found, aim.aimed, "met" if aim.met else "MISSED") for aim in results.targets]
    notes = [f"{name}: {ratio:.2f}" for name, ratio in results.ratios.items()]
    if results.disturbed_phases:
        phases = ", ".join(f"{cores:.1f} cores ({name})" for name, cores in results.disturbed_phases.items())
        notes.append(f"PROVISIONAL: the machine was not quiet. Others used {phases}.")
    return TableSection("Aims", ("", "found", "aim", ""), rows, notes)


def _latency(results: BenchmarkResults) -> TableSection:
    rows = [
        (
            f"{one.rate:g}",
            *(f"{value:.1f}" for value in (one.total.p50, one.total.p90, one.total.p99, one.total.max)),
            str(one.requests),
            f"{one.unanswered} / {one.failed}",
            f"{one.busy.total:.2f}" if one.busy else "",
            f"{one.generator_cores:.2f}",
            f"{one.busy.others:.2f}" if one.busy else "",
        )
        for one in results.latency
    ]
    columns = ("requests/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "requests", "lost / failed")
    return TableSection(
        "Latency, from when a request was meant to be sent to when its answer was in hand",
        (*columns, "platform", "generator", "others"),
        rows,
        [results.load, "The last three columns are cores in use. " + SHARED_CORES_NOTE],
    )


def _stages(one: Latency) -> TableSection:
    rows = [(name, *_distribution_cells(one.stages[name]), means) for name, means in STAGES.items()]
    named = {"preprocess": "the task's preprocessing itself", "inference": "the call of MLServer, for the whole batch"}
    named |= {"queued": "total without those two", "total": "request in the log to the making of its answer"}
    rows += [(f"timings_ms.{name}", *_distribution_cells(spread), named[name]) for name, spread in one.timings.items()]
    rows.append(("outside of total", *_distribution_cells(one.outside), "sending, publishing the answer, receiving"))
    note = "The first five follow each other and add up (in the mean); timings_ms is what the predictions say."
    columns = ("stage", "mean ms", "p50", "p90", "p99", "")
    return TableSection(f"Where the time goes at {one.rate:g}/s", columns, rows, [note])


def _distribution_cells(spread: LatencyDistribution) -> Iterable[str]:
    return (f"{value:.1f}" for value in (spread.mean, spread.p50, spread.p90, spread.p99))


def _throughput(results: BenchmarkResults) -> TableSection:
    rows = [
        (
            f"platform, backlog {number}",
            f"{drain.per_second:.0f}",
            f"{drain.first_to_last:.0f} from first to last answer",
        )
        for number, drain in enumerate(results.saturated, 1)
    ]
    for one in results.alone:
        threads = f"{one.threads or 'default'} threads of ONNX Runtime, {one.cpu_ms:.2f} ms of processor time each"
        rows.append(("one at a time", f"{one.per_second:.0f}", threads))
    if results.limit:
        best = results.limit.best
        way = f"batches of {best.batch_size}, {best.at_once} at a time, {best.threads} threads each"
        rows.append(("limit: ONNX Runtime alone", f"{best.per_second:.0f}", way))
        parts = f"preprocess {results.limit.preprocess_ms:.2f} ms, decode {results.limit.decode_ms:.2f} ms each"
        rows.append(("the same with preprocessing and decoding", f"{results.limit.whole:.0f}", parts))
    return TableSection("Saturated throughput", ("", "lines/s", ""), rows)


def _work(results: BenchmarkResults) -> TableSection:
    if not results.saturated:
        return TableSection("", (), ())
    drain = results.median_drain
    each = drain.busy.milliseconds_each(drain.requests)
    rows = [(name, f"{ms:.2f}", f"{drain.busy.by_process[name]:.2f}") for name, ms in each.items()]
    rows.append(("total", f"{sum(each.values()):.2f}", f"{drain.busy.total:.2f}"))
    notes = [
        f"Others used {drain.busy.others:.2f} cores; preprocessing was through at {drain.features_per_second:.0f}/s."
    ]
    if drain.failed:
        notes.append(f"{drain.failed} of {drain.requests} answers say that there is no prediction.")
    return TableSection("Where the time goes, saturated", ("process", "CPU ms for each line", "cores"), rows, notes)


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
        parts = (cost.limit.preprocess_ms, cost.limit.decode_ms)
        rows.append(
            (
                name,
                *(f"{speed:.0f}" for speed in speeds),
                *(f"{ratio:.2f}" for ratio in ratios),
                *(f"{ms:.2f}" for ms in parts),
            )
        )
    columns = ("task", "platform /s", "one at a time /s", "ONNX Runtime, whole /s", "ONNX Runtime alone /s")
    compared = ("platform / one at a time", "/ whole", "/ alone", "preprocess ms", "decode ms")
    return TableSection("The other tasks, saturated", (*columns, *compared), rows)


def _replay(results: BenchmarkResults) -> TableSection:
    if results.whole is None:
        return TableSection("", (), ())
    whole = results.whole
    rows = [
        (
            READERS[name],
            f"{whole.events / one.seconds:.0f}",
            *(f"{value:.1f}" for value in (one.seconds, one.cpu_seconds)),
            f"{one.peak_mib:.0f}",
        )
        for name, one in whole.readings.items()
    ]
    notes = [
        f"{whole.events} events of one task, each of requests, features, predictions and feedback counted as one; the "
        f"archive took {whole.archived_per_second:.0f}/s of them from a backlog.",
        "All is in the page cache. Processor seconds are the reader's own, without the broker's.",
    ]
    columns = ("", "events/s", "seconds", "CPU seconds", "peak MiB")
    return TableSection("From the beginning of the log to its end", columns, rows, notes)


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
    """All tables on the console."""
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
    """All tables as Markdown."""
    lines = ["# Benchmark", ""]
    for section in build_sections(results):
        lines += [f"## {section.title}", "", f"| {' | '.join(section.columns)} |"]
        lines.append(f"|{'---|' * len(section.columns)}")
        lines += [f"| {' | '.join(row)} |" for row in section.rows]
        lines += ["", *(f"{note}\n" for note in section.notes)]
    return "\n".join(lines)


def save_results(results: BenchmarkResults, folder: Path, name: str) -> Path:
    """Both files; the path of the Markdown one."""
    folder.mkdir(parents=True, exist_ok=True)
    aims = [asdict(aim) for aim in results.targets]
    said = {**asdict(results), "throughput": results.throughput, "ratios": results.ratios, "aims": aims}
    (folder / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n")
    path = folder / f"{name}.md"
    path.write_text(render_markdown(results))
    return path
