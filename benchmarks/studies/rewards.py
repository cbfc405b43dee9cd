"""Compare corrections and bare rewards on a source that a task is bad at: `python -m benchmarks.studies.rewards TASK`.

For each seed there are new samples, served by the shipped version with exploration on. It is fine-tuned on N of them
with corrections, on N with rewards only, and on N of each, and measured on samples of that
source that are in no log, and on the task's held-out set.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scipy import stats

from app.settings import CHECKOUT
from benchmarks.__main__ import RESULTS
from benchmarks.studies.drifted import SOURCES
from benchmarks.studies.drifted.dataset import ServedSample, serve_samples, write_dataset
from models.base import Task, Trained
from models.nn.onnx_inference import judge, session
from models.training import train

ROW_COUNTS = (100, 300, 1000)
FEEDBACK_KINDS = ("corrections", "rewards", "both")


@dataclass(frozen=True)
class VersionErrors:
    """Of one version: on the drifted source, and on the held-out set."""

    drifted: float
    original: float


@dataclass(frozen=True)
class FineTuningResult:
    """One fine-tuning: what it learned from, and the errors before and after."""

    seed: int
    kind: str
    count: int
    before: VersionErrors
    after: VersionErrors
    share: float
    """How far it went from the parent, 0 to 1."""


@dataclass(frozen=True)
class MeanInterval:
    """A mean over seeds, and half the width of its 95 % interval (Student's t)."""

    mean: float
    half: float

    @classmethod
    def from_values(cls, values: list[float]) -> "MeanInterval":
        """The interval of a figure that each seed gives once."""
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        return cls(float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * error))

    def percent(self, sign: str = "") -> str:
        """Both, in per cent."""
        return f"{self.mean:{sign}.1%} ± {self.half:.1%}"


@dataclass(frozen=True)
class StudyOptions:
    """What is run."""

    task: str
    seeds: int
    counts: tuple[int, ...]
    explore: float
    test: int
    """Samples of the drifted source that errors are measured on."""


def run_fine_tunings(options: StudyOptions, on_done: Callable[[str], None]) -> Iterator[FineTuningResult]:
    """All fine-tunings, seed by seed."""
    source = SOURCES[options.task]
    task, shipped = source.task(0.0), CHECKOUT / "models" / options.task / "versions/1/model.onnx"
    original = list(task.held_out())

    def errors(model: bytes) -> VersionErrors:
        judged = [judge(session(model), task, samples) for samples in (test, original)]
        return VersionErrors(*map(source.error, judged))

    for seed in range(options.seeds):
        test, logged = source.samples(options.test, 2 * max(options.counts), seed)
        log = serve_samples(source, options.explore, logged, shipped, f"log-{seed}")
        before = errors(shipped.read_bytes())
        on_done(f"seed {seed}")
        for count in options.counts:
            for kind in FEEDBACK_KINDS:
                trained = _fine_tune(task, shipped, log, kind, count, seed)
                way = trained.card["way gone from the parent"]
                yield FineTuningResult(seed, kind, count, before, errors(trained.model), way)
                on_done(f"seed {seed}: {count} {kind}")


def _fine_tune(task: Task, parent: Path, log: Sequence[ServedSample], kind: str, count: int, seed: int) -> Trained:
    """What is learned from what is said of the first samples of the log."""
    rewards = {"corrections": 0, "rewards": count, "both": count}[kind]
    rows = log[: 2 * count if kind == "both" else count]
    with TemporaryDirectory() as directory:
        dataset = write_dataset(Path(directory) / "log", rows, rewards)
        return train(task, dataset, parent, seed, lambda *_: None)


def summarize(found: Sequence[FineTuningResult]) -> list[list[str]]:
    """A row for each kind and count: errors with their intervals, and how much less or more they are than before."""
    rows = [
        ["not retrained", "", *_cells([(one.before, one.before) for one in found if _is_first_of_kind(one, found)]), ""]
    ]
    for kind in FEEDBACK_KINDS:
        for count in sorted({one.count for one in found}):
            group = [one for one in found if (one.kind, one.count) == (kind, count)]
            kept = sum(one.share == 0 for one in group)
            rows.append([kind, str(count), *_cells([(one.before, one.after) for one in group]), str(kept)])
    return rows


def _is_first_of_kind(one: FineTuningResult, found: Sequence[FineTuningResult]) -> bool:
    return one is next(other for other in found if other.seed == one.seed)


def _cells(pairs: list[tuple[VersionErrors, VersionErrors]]) -> list[str]:
    cells = []
    for name in ("drifted", "original"):
        rates = [(getattr(before, name), getattr(after, name)) for before, after in pairs]
        cells.append(MeanInterval.from_values([after for _, after in rates]).percent())
        cells.append(MeanInterval.from_values([after / before - 1 for before, after in rates]).percent("+"))
    return cells


def markdown(found: Sequence[FineTuningResult], options: StudyOptions) -> str:
    """The summary as a table, and how it came about."""
    error = SOURCES[options.task].error_name
    columns = ["learned from", "N", f"{error}, drifted", "change", f"{error}, held-out set", "change", "parent kept"]
    lines = [f"# Corrections and rewards: `{options.task}` on a drifted source", "", f"| {' | '.join(columns)} |"]
    lines += ["|---|" + "---:|" * (len(columns) - 1), *(f"| {' | '.join(row)} |" for row in summarize(found))]
    return "\n".join([*lines, "", f"{asdict(options)}; means and 95 % intervals over seeds.", ""])


def main(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(SOURCES)}.")],
    seeds: Annotated[int, typer.Option(min=2, help="Repetitions, each with its own samples.")] = 5,
    count: Annotated[
        list[int] | None, typer.Option(help="Rows of the log, of which 80 % are fitted; repeat it.")
    ] = None,
    explore: Annotated[float, typer.Option(help="Share of the log's outputs that is drawn.")] = 0.3,
    test: Annotated[int, typer.Option(help="Samples of the source to measure on.")] = 400,
) -> None:
    """Fine-tune, measure, print the table and save it with every figure in benchmarks/results.

    Example: python -m benchmarks.studies.rewards speech_to_text --seeds 3 --count 300 --count 1000
    """
    if task not in SOURCES:
        raise typer.BadParameter(f"{task!r} has no drifted source: name one of {', '.join(SOURCES)}")
    options = StudyOptions(task, seeds, tuple(count or ROW_COUNTS), explore, test)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"rewards-{task}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    console, found = Console(stderr=True), list[FineTuningResult]()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        bar = progress.add_task("making samples", total=seeds * (1 + len(options.counts) * len(FEEDBACK_KINDS)))
        for one in run_fine_tunings(options, lambda done: progress.update(bar, advance=1, description=done)):
            found.append(one)  # hours of work: what is measured is kept, whatever happens to the rest
            path.write_text(
                json.dumps({"options": asdict(options), "measured": list(map(asdict, found))}, indent=2) + "\n"
            )
    table = markdown(found, options)
    path.with_suffix(".md").write_text(table)
    Console(soft_wrap=True, highlight=False).print(table, markup=False)
    console.print(f"Saved: {path} and .md", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
