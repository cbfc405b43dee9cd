"""CPU time and memory as tables."""

from benchmarks.results import SATURATED, BenchmarkResults
from benchmarks.tables.section import EMPTY, TableSection

COST_NOTE = (
    "Beyond what the platform takes at rest, until all is archived and recorded. At the rates it includes publishing "
    "the requests and reading the answers, saturated it does not."
)


def cost_table(results: BenchmarkResults) -> TableSection:
    """Return the CPU time of each stage: at rest, and for each event of each load."""
    if results.rest is None:
        return EMPTY
    rest, loads = results.rest.by_process, results.stage_costs
    stages = dict.fromkeys(
        stage for by_stage in (rest, *(costs.by_stage for costs in loads.values())) for stage in by_stage
    )
    rows = [
        (stage, f"{rest.get(stage, 0.0):.3f}", *(f"{costs.by_stage.get(stage, 0.0):.2f}" for costs in loads.values()))
        for stage in stages
    ]
    rows.append(("total", f"{results.rest.total:.3f}", *(f"{costs.total:.2f}" for costs in loads.values())))
    notes = [COST_NOTE]
    if results.whole and results.tax_ms is not None:
        notes.append(
            f"In one process an event takes {results.whole.cpu_ms:.2f} ms, "
            f"{results.whole.runtime_cpu_ms:.2f} ms of them in ONNX Runtime: "
            f"the tax of the {SATURATED} platform is {results.tax_ms:.2f} ms."
        )
    if failed := sum(drain.failed for drain in results.saturated):
        notes.append(f"{failed} of {sum(drain.requests for drain in results.saturated)} answers are failures.")
    columns = ("stage", "at rest, cores", *(f"{name}, ms an event" for name in loads))
    return TableSection("CPU time by stage", columns, rows, notes)


def memory_table(results: BenchmarkResults) -> TableSection:
    """Return the memory of each stage."""
    if results.at_rest is None:
        return EMPTY
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


def command_table(results: BenchmarkResults) -> TableSection:
    """Return the time of each command of `hindsight`."""
    rows = [(name, f"{time.seconds:.2f}", f"{time.cpu_seconds:.2f}") for name, time in results.commands.items()]
    return TableSection("Commands", ("", "seconds", "CPU seconds"), rows)
