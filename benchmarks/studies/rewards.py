"""Compare kinds of feedback on a source that a task is bad at: `python -m benchmarks.studies.rewards TASK`.

For each seed, the shipped version serves new samples with exploration. It is fine-tuned on N of them with corrections,
on N with scores only, on N with rewards only (of texts: whether all is right), on N rewards and N corrections, and on N
preferences between the served output and one that is drawn. The errors are measured on samples of that source that are
in no log, and on the task's held-out set.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.settings import CHECKOUT
from benchmarks.studies.drifted import SOURCES
from benchmarks.studies.drifted.dataset import FeedbackKind, ServedSample, compare_samples, serve_samples, write_dataset
from benchmarks.studies.summary import RESULTS, MeanInterval
from models.base import Task, Trained
from models.nn.onnx_inference import judge, session
from models.training import train

ROW_COUNTS = (100, 300, 1000)
FEEDBACK_KINDS: dict[str, tuple[FeedbackKind, ...]] = {
    "corrections": ("correction",),
    "scores": ("score",),
    "rewards": ("reward",),
    "both": ("reward", "correction"),
    "preferences": ("preference",),
}

OF_TEXTS = ("scores", "preferences")


@dataclass(frozen=True)
class VersionErrors:
    """The errors of a version: on the drifted source, and on the held-out set."""

    drifted: float
    original: float


@dataclass(frozen=True)
class FineTuningResult:
    """A fine-tuning: its rows of feedback, and the errors before and after."""

    seed: int
    kind: str
    count: int
    before: VersionErrors
    after: VersionErrors
    share: float
    """The interpolation weight of the new weights, 0 (the parent's) to 1."""


@dataclass(frozen=True)
class StudyOptions:
    """The options of the study."""

    task: str
    seeds: int
    counts: tuple[int, ...]
    kinds: tuple[str, ...]
    explore: float
    test: int
    """The number of samples of the drifted source on which errors are measured."""


def run_fine_tunings(options: StudyOptions, on_done: Callable[[str], None]) -> Iterator[FineTuningResult]:
    """Yield all fine-tunings, seed by seed."""
    source = SOURCES[options.task]
    task, shipped = source.task(0.0), CHECKOUT / "models" / options.task / "versions/1/model.onnx"
    original = list(task.held_out())

    def errors(model: bytes) -> VersionErrors:
        judged = [judge(session(model), task, samples) for samples in (test, original)]
        return VersionErrors(*map(source.error, judged))

    for seed in range(options.seeds):
        test, logged = source.samples(options.test, 2 * max(options.counts), seed)
        log = serve_samples(source, options.explore, logged, shipped, f"log-{seed}")
        compared = compare_samples(source, log, shipped, f"other-{seed}") if "preferences" in options.kinds else []
        before = errors(shipped.read_bytes())
        on_done(f"seed {seed}")
        for count in options.counts:
            for kind in options.kinds:
                samples = compared if kind == "preferences" else log
                trained = _fine_tune(task, shipped, samples, kind, count, seed)
                share = trained.card["way gone from the parent"]
                yield FineTuningResult(seed, kind, count, before, errors(trained.model), share)
                on_done(f"seed {seed}: {count} {kind}")


def _fine_tune(task: Task, parent: Path, log: Sequence[ServedSample], kind: str, count: int, seed: int) -> Trained:
    """Fine-tune the parent on feedback for the first samples of the log."""
    kinds = [feedback for feedback in FEEDBACK_KINDS[kind] for _ in range(count)]
    with TemporaryDirectory() as directory:
        dataset = write_dataset(Path(directory) / "log", log[: len(kinds)], kinds)
        return train(task, dataset, parent, seed, lambda *_: None)


def summarize(results: Sequence[FineTuningResult]) -> list[list[str]]:
    """Return a row for each kind and count: errors with their intervals, and their relative change."""
    by_seed = {result.seed: result for result in reversed(results)}
    before = [(result.before, result.before) for _, result in sorted(by_seed.items())]
    rows = [["not retrained", "", *_cells(before), ""]]
    for kind in dict.fromkeys(result.kind for result in results):
        for count in sorted({result.count for result in results}):
            group = [result for result in results if (result.kind, result.count) == (kind, count)]
            parent_kept = sum(result.share == 0 for result in group)
            rows.append(
                [kind, str(count), *_cells([(result.before, result.after) for result in group]), str(parent_kept)]
            )
    return rows


def _cells(pairs: list[tuple[VersionErrors, VersionErrors]]) -> list[str]:
    cells = []
    for name in ("drifted", "original"):
        rates = [(getattr(before, name), getattr(after, name)) for before, after in pairs]
        cells.append(MeanInterval.from_values([after for _, after in rates]).percent())
        cells.append(MeanInterval.from_values([after / before - 1 for before, after in rates]).percent("+"))
    return cells


def markdown(results: Sequence[FineTuningResult], options: StudyOptions) -> str:
    """Return the summary as a table, with the options of the study."""
    error = SOURCES[options.task].error_name
    columns = ["learned from", "N", f"{error}, drifted", "change", f"{error}, held-out set", "change", "parent kept"]
    lines = [f"# Kinds of feedback: `{options.task}` on a drifted source", "", f"| {' | '.join(columns)} |"]
    lines += ["|---|" + "---:|" * (len(columns) - 1), *(f"| {' | '.join(row)} |" for row in summarize(results))]
    return "\n".join([*lines, "", f"{asdict(options)}; means and 95 % intervals over seeds.", ""])


def main(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(SOURCES)}.")],
    seeds: Annotated[int, typer.Option(min=2, help="Repetitions, each with its own samples.")] = 5,
    count: Annotated[
        list[int] | None, typer.Option(help="Rows of the log, of which 80 % are fitted; repeat it.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="What to learn from; repeat it.")] = None,
    explore: Annotated[float, typer.Option(help="Share of the log's outputs that are explored.")] = 0.3,
    test: Annotated[int, typer.Option(help="Samples of the source to measure on.")] = 400,
) -> None:
    """Fine-tune, measure, print the table and save it with every figure in benchmarks/results.

    Example: python -m benchmarks.studies.rewards speech_to_text --seeds 3 --count 300 --count 1000
    """
    if task not in SOURCES:
        raise typer.BadParameter(f"{task!r} has no drifted source: name one of {', '.join(SOURCES)}")
    kinds = tuple(kind or (name for name in FEEDBACK_KINDS if name not in OF_TEXTS or task != "object_detection"))
    options = StudyOptions(task, seeds, tuple(count or ROW_COUNTS), kinds, explore, test)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"rewards-{task}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    console, results = Console(stderr=True), list[FineTuningResult]()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        bar = progress.add_task("making samples", total=seeds * (1 + len(options.counts) * len(options.kinds)))
        for result in run_fine_tunings(options, lambda step: progress.update(bar, advance=1, description=step)):
            results.append(result)  # saved at once: a study takes hours, and may be stopped
            document = {"options": asdict(options), "measured": list(map(asdict, results))}
            path.write_text(json.dumps(document, indent=2) + "\n")
    table = markdown(results, options)
    path.with_suffix(".md").write_text(table)
    Console(soft_wrap=True, highlight=False).print(table, markup=False)
    console.print(f"Saved: {path} and .md", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
