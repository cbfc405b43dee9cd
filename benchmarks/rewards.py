"""`python -m benchmarks.rewards`: what corrections and bare rewards do for `ocr` on a source that it reads badly.

For each seed there are new lines, served by the shipped version with exploration on. It is fine-tuned on N lines with
corrections, on N with rewards only (right as a whole or not), and on N of each, and measured on lines of that source
that are in no log, and on the card's held-out set.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import onnx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scipy import stats  # type: ignore[import-untyped]

from app.settings import CHECKOUT
from benchmarks import drifted
from benchmarks.__main__ import RESULTS
from models.nn.conv_ctc_onnx import to_onnx
from models.nn.ctc_feedback import Feedback, feedback
from models.nn.ctc_fine_tuning import Rehearsal, fine_tune
from models.ocr import report
from models.ocr.data import Line
from models.ocr.fine_tuning import READING, Sizes, rehearsal, served_parameters
from models.ocr.finished import held_out
from models.ocr.network import FINE_PLAN, NETWORK, SIGNAL, example

SHIPPED = CHECKOUT / "models/ocr/versions/1/model.onnx"
COUNTS = (100, 300, 1000)
KINDS = ("corrections", "rewards", "both")


@dataclass(frozen=True)
class Errors:
    """Character error rates of one version: on the drifted source, and on the card's held-out set."""

    drifted: float
    original: float


@dataclass(frozen=True)
class Measured:
    """One fine-tuning: what it learned from, and the errors before and after."""

    seed: int
    kind: str
    count: int
    before: Errors
    after: Errors
    share: float
    """How far it went from the parent, 0 to 1."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and half the width of its 95 % interval (Student's t)."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: list[float]) -> "Interval":
        """The interval of a figure that each seed gives once."""
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        return cls(float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * error))

    def percent(self, sign: str = "") -> str:
        """Both, in per cent."""
        return f"{self.mean:{sign}.1%} ± {self.half:.1%}"


@dataclass(frozen=True)
class Options:
    """What is run."""

    seeds: int
    counts: tuple[int, ...]
    explore: float
    test: int
    """Lines of the drifted source, and of each kind of the held-out set, that errors are measured on."""


def run(options: Options, on_done: Callable[[str], None]) -> Iterator[Measured]:
    """All fine-tunings, seed by seed."""
    shipped = onnx.load(SHIPPED)
    parent, original = served_parameters(shipped), [line for kind in held_out(options.test) for line in kind]
    for seed in range(options.seeds):
        made = drifted.lines(options.test + 2 * max(options.counts), seed)
        source = drifted.served(made[: options.test], SHIPPED, 0.0, f"test-{seed}")
        test = [Line(one.asked.features["image"], one.truth) for one in source]
        log = drifted.served(made[options.test :], SHIPPED, options.explore, f"log-{seed}")
        rehearsing = Rehearsal(*([example(line) for line in lines] for lines in rehearsal(seed, Sizes())))
        before = _errors(shipped, test, original)
        on_done(f"seed {seed}")
        for count in options.counts:
            for kind in KINDS:
                said = _feedback(log, kind, count)
                tuned = fine_tune(NETWORK, parent, said, rehearsing, replace(FINE_PLAN, seed=seed))
                after = _errors(to_onnx(NETWORK, tuned.parameters, SIGNAL), test, original)
                yield Measured(seed, kind, count, before, after, tuned.share)
                on_done(f"seed {seed}: {count} {kind}")


def _feedback(log: Sequence[drifted.Served], kind: str, count: int) -> Feedback:
    """What is said of the first lines of the log, read from a dataset on disk."""
    rewards = {"corrections": 0, "rewards": count, "both": count}[kind]
    rows = log[: 2 * count if kind == "both" else count]
    with TemporaryDirectory() as directory:
        return feedback(drifted.write_dataset(Path(directory) / "log", rows, rewards), READING)


def _errors(model: onnx.ModelProto, test: list[Line], original: list[Line]) -> Errors:
    session = report.session(model)
    rates = [report.error_rate(report.readings(report.run(session, lines)), lines) for lines in (test, original)]
    return Errors(*rates)


def summary(found: Sequence[Measured]) -> list[list[str]]:
    """A row for each kind and count: errors with their intervals, and how much less or more they are than before."""
    rows = [["not retrained", "", *_cells([(one.before, one.before) for one in found if _first(one, found)]), ""]]
    for kind in KINDS:
        for count in sorted({one.count for one in found}):
            group = [one for one in found if (one.kind, one.count) == (kind, count)]
            kept = sum(one.share == 0 for one in group)
            rows.append([kind, str(count), *_cells([(one.before, one.after) for one in group]), str(kept)])
    return rows


def _first(one: Measured, found: Sequence[Measured]) -> bool:
    return one is next(other for other in found if other.seed == one.seed)


def _cells(pairs: list[tuple[Errors, Errors]]) -> list[str]:
    cells = []
    for name in ("drifted", "original"):
        rates = [(getattr(before, name), getattr(after, name)) for before, after in pairs]
        cells.append(Interval.of([after for _, after in rates]).percent())
        cells.append(Interval.of([after / before - 1 for before, after in rates]).percent("+"))
    return cells


def markdown(found: Sequence[Measured], options: Options) -> str:
    """The summary as a table, and how it came about."""
    columns = ["learned from", "N", "CER, drifted", "change", "CER, held-out set", "change", "parent kept"]
    lines = ["# Corrections and rewards: `ocr` on a drifted source", "", f"| {' | '.join(columns)} |"]
    lines += ["|---|" + "---:|" * (len(columns) - 1), *(f"| {' | '.join(row)} |" for row in summary(found))]
    return "\n".join([*lines, "", f"{asdict(options)}; means and 95 % intervals over seeds.", ""])


def main(
    seeds: Annotated[int, typer.Option(min=2, help="Repetitions, each with its own lines.")] = 5,
    counts: Annotated[tuple[int, int, int], typer.Option(help="Rows of the log, of which 80 % are fitted.")] = COUNTS,
    explore: Annotated[float, typer.Option(help="Share of the log's texts that is drawn.")] = 0.3,
    test: Annotated[int, typer.Option(help="Lines of the source, and of each held-out kind, to measure on.")] = 400,
) -> None:
    """Fine-tune, measure, print the table and save it with every figure in benchmarks/results."""
    options = Options(seeds, counts, explore, test)
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        bar = progress.add_task("making lines", total=seeds * (1 + len(counts) * len(KINDS)))
        found = list(run(options, lambda done: progress.update(bar, advance=1, description=done)))
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"rewards-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps({"options": asdict(options), "measured": list(map(asdict, found))}, indent=2) + "\n")
    table = markdown(found, options)
    path.with_suffix(".md").write_text(table)
    Console(soft_wrap=True, highlight=False).print(table, markup=False)
    console.print(f"Saved: {path} and .md", soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
