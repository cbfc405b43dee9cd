"""The results as tables, on the console and in Markdown, and as JSON."""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import BenchmarkResults
from benchmarks.tables.costs import command_table, cost_table, memory_table
from benchmarks.tables.latency import latency_table, stage_table
from benchmarks.tables.overload import overload_table
from benchmarks.tables.replay import replay_table
from benchmarks.tables.section import TableSection
from benchmarks.tables.tasks import model_table, task_table, tax_table
from benchmarks.tables.throughput import sweep_table, throughput_table
from benchmarks.targets import list_targets

__all__ = ["TableSection", "build_sections", "print_results", "render_markdown", "save_results"]


def build_sections(results: BenchmarkResults) -> list[TableSection]:
    """Return all tables of a run."""
    summary = [(name, f"{value:.4g}") for name, value in results.summary.items()]
    sections = [
        *(_target_table(results), cost_table(results), tax_table(results), task_table(results), model_table(results)),
        *(latency_table(results), overload_table(results), *map(stage_table, results.latency)),
        *(throughput_table(results), sweep_table(results), replay_table(results)),
        *(memory_table(results), command_table(results), TableSection("Summary", ("", ""), summary)),
        TableSection("Machine", ("", ""), list(results.machine.items())),
    ]
    return [section for section in sections if section.rows]


def _target_table(results: BenchmarkResults) -> TableSection:
    rows = [
        (target.name, target.found, target.aimed, "met" if target.met else "MISSED") for target in list_targets(results)
    ]
    notes = [f"{name}: {ratio:.2f}" for name, ratio in results.ratios.items()]
    if results.disturbed_phases:
        phases = ", ".join(f"{cores:.1f} cores ({name})" for name, cores in results.disturbed_phases.items())
        notes.append(f"PROVISIONAL: the machine was not quiet. Other processes used {phases}.")
    return TableSection("Targets", ("", "measured", "target", ""), rows, notes)


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
    targets = [asdict(target) for target in list_targets(results)]
    costs = {load: asdict(stage_costs) for load, stage_costs in results.stage_costs.items()}
    lines = {task: {stage: asdict(line) for stage, line in cost.lines.items()} for task, cost in results.tasks.items()}
    document = {"summary": results.summary, "targets": targets, "stage_costs": costs, "cost_lines": lines}
    document |= asdict(results)
    (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    path = folder / f"{name}.md"
    path.write_text(render_markdown(results))
    return path
