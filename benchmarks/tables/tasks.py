"""What each task costs, and its peers, as tables."""

from collections.abc import Iterator

from benchmarks.results import BenchmarkResults
from benchmarks.slopes import CostLine
from benchmarks.tables.section import TableSection
from benchmarks.task_costs import TaskCost

TAX_NOTE = (
    "Lines through the costs of payloads of several sizes, which differ in bytes that a decoder skips. A kB is 1,000 "
    "bytes of a payload or of its features. The tax is the total without the same work in one process. "
    "± is the standard error."
)
MODEL_NOTE = (
    "The requests are those of the demonstration. Alone: in one process, with a thread for each core, and no log."
)
PEER_NOTE = (
    "Every peer has a consumer on each core, commits only what is answered and confirmed, and has no archive and no "
    "recorder. Its CPU time includes the broker's."
)


def task_table(results: BenchmarkResults) -> TableSection:
    """Return the saturated throughput of each task, and of what does the same work without the platform."""
    rows = [row for name, cost in results.tasks.items() for row in _speed_rows(name, cost)]
    columns = ("task", "", "events/s", "platform / this", "CPU ms an event")
    return TableSection("Each task, saturated", columns, rows, [PEER_NOTE])


def _speed_rows(name: str, cost: TaskCost) -> Iterator[tuple[str, ...]]:
    yield name, "platform", f"{cost.drain.per_second:.0f}", "", f"{cost.sizes[0].costs.total:.2f}"
    process, ratios = cost.in_process, cost.ratios
    speeds = {
        "in one process": (process.per_second, process.cpu_ms),
        "ONNX Runtime alone": (process.runtime_per_second, process.runtime_cpu_ms),
    }
    for peer, drain in cost.peers.items():
        speeds[peer] = (drain.per_second, sum(drain.busy.milliseconds_each(drain.requests).values()))
    for other, (per_second, cpu_ms) in speeds.items():
        yield name, other, f"{per_second:.0f}", f"{ratios[other]:.2f}", f"{cpu_ms:.2f}"


def model_table(results: BenchmarkResults) -> TableSection:
    """Return the saturated throughput of each included model, and of the model alone in one process."""
    rows = [
        (
            name,
            f"{speed.drain.per_second:.1f}",
            f"{speed.in_process.per_second:.1f}",
            f"{speed.ratio:.2f}",
            f"{sum(speed.drain.until_settled.milliseconds_each(speed.drain.requests).values()):.1f}",
            f"{speed.in_process.cpu_ms:.1f}",
            str(speed.drain.failed),
        )
        for name, speed in results.models.items()
    ]
    columns = ("model", "events/s", "alone", "ratio", "CPU ms an event", "alone", "failed")
    return TableSection("Included models, saturated", columns, rows, [MODEL_NOTE])


def tax_table(results: BenchmarkResults) -> TableSection:
    """Return the fixed cost of an event and the cost of a kB, by task and stage."""
    rows = [
        (name, stage, *_line_cells(line)) for name, cost in results.tasks.items() for stage, line in cost.lines.items()
    ]
    sizes = [
        f"{name}: {', '.join(f'{size.kilobytes:.0f}' for size in cost.sizes)} kB"
        for name, cost in results.tasks.items()
    ]
    columns = ("task", "stage", "fixed CPU ms", "CPU us a kB")
    return TableSection("Tax: CPU time of an event and of a kB", columns, rows, [TAX_NOTE, *sizes])


def _line_cells(line: CostLine) -> tuple[str, str]:
    return (
        f"{line.fixed_ms:.2f} ± {line.fixed_error_ms:.2f}",
        f"{line.us_per_kb:.1f} ± {line.us_per_kb_error:.1f}",
    )
