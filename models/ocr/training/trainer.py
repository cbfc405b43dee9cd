"""Versions of `ocr` whose recogniser has learned by feedback: only the last layer changes, all else is the parent's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from models.adapters.ctc_adaptation import PLAN, RehearsedSignals, adapt
from models.adapters.linear_layer import Floats
from models.adapters.open_head import OpenHead, probable_classes
from models.base import OnStep, Task, Trained
from models.datasets import Row, rows
from models.nn.ctc_batches import CtcFittingPlan, Example
from models.nn.ctc_feedback import LeftOut, collect, fitting_example
from models.ocr.training.feedback import LinePicture, corrected_lines, only_line, sure_lines
from models.ocr.training.figures import measured
from models.ocr.training.recognizer import CutRecognizer
from models.ocr.training.rehearsal import printed_lines, scanned_lines
from models.provenance import parent_and_dataset, provenance

SURE = 0.95
"""The least confidence of the log's lines that are rehearsed: the network was seldom wrong about them."""


@dataclass(frozen=True)
class Sizes:
    """How many lines are rehearsed: printed ones, digit scans that are read right, and the log's own at most."""

    printed: int = 1_000
    scanned: int = 150
    logged: int = 400
    validation: int = 5
    """One in so many is to choose by."""
    held_out: int = 100
    """Of each group of lines, for the card's figures."""


@dataclass
class _Log:
    """Lines of a dataset: what has feedback, by prediction and in order, and what the network was sure of."""

    fed: dict[str, list[LinePicture]] = field(default_factory=dict)
    sure: list[LinePicture] = field(default_factory=list)


@dataclass(frozen=True)
class OcrAdapter:
    """How a version of `ocr` learns by feedback."""

    task: Task
    plan: CtcFittingPlan = PLAN
    sizes: Sizes = Sizes()

    def train(self, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
        """Return a version that is fitted to a dataset, see `models.training.Trainer`. Raises `Untrainable`."""
        parent, dataset = parent_and_dataset(self.task.name, parent, dataset)
        recognizer, plan = CutRecognizer.of(parent), replace(self.plan, seed=seed)
        on_step("reading lines", 0, None)
        log = _read(dataset, self.sizes.logged)
        reader = _Reader.of(recognizer, log, plan, on_step)
        given = collect(rows(dataset), reader, self._score(reader))
        rehearsed = self._rehearsed(reader, log, seed)
        fitting = lambda step, steps, _: on_step("fitting", step, steps)  # noqa: E731
        tuned = adapt(reader.head, given, rehearsed, plan, reader.places[" "], fitting)
        on_step("measuring", 0, None)
        layer = reader.head.merged(tuned.parameters)
        manifest, files = recognizer.changed(layer)
        before, after = measured(self.task, recognizer, (recognizer.layer, layer), self.sizes.held_out)
        card = {
            "task": self.task.name,
            "preprocess_version": self.task.preprocess_version,
            **provenance(seed, parent, dataset),
            "feedback": {**given.counts, "mean reward": round(given.baseline, 5)},
            "rehearsed lines": len(rehearsed.train) + len(rehearsed.validation),
            "open symbols": len(reader.head.classes),
            "plan": asdict(plan),
            **tuned.card(),
            "figures": after,
            "figures before": before,
        }
        return Trained(manifest, card, files)

    def _score(self, reader: "_Reader") -> Callable[[list[int], list[int]], float]:
        def score(labels: list[int], true_labels: list[int]) -> float:
            output, correction = ({"text": reader.text(text)} for text in (labels, true_labels))
            return self.task.score(output, correction)

        return score

    def _rehearsed(self, reader: "_Reader", log: _Log, seed: int) -> RehearsedSignals:
        recognizer, scanned = reader.recognizer, list(scanned_lines(self.sizes.scanned, seed))
        of_scans = recognizer.features([line.picture for line in scanned])
        texts = recognizer.texts(of_scans, recognizer.layer)
        right = [line for line, text, scan in zip(of_scans, texts, scanned, strict=True) if text == scan.text]
        others = [*printed_lines(self.sizes.printed, seed), *log.sure]
        signals = reader.head.signals([*right, *recognizer.features([line.picture for line in others])])
        every = self.sizes.validation
        train = [signal for place, signal in enumerate(signals) if place % every]
        return RehearsedSignals(train, signals[::every])


def _read(dataset: Path, logged: int) -> _Log:
    """Read the lines of all rows but those of the split `test`."""
    log = _Log()
    for row in rows(dataset):
        if row.split == "test":
            continue
        try:
            if row.label is not None:
                log.fed[row.prediction_id] = corrected_lines(row, row.label)
            elif row.reward is not None or row.preferences:
                log.fed[row.prediction_id] = [LinePicture(only_line(row), str(row.output["text"]))]
            elif len(log.sure) < logged:
                log.sure += sure_lines(row, SURE)
        except LeftOut:
            continue  # it is counted when the feedback is collected
    return log


@dataclass(frozen=True)
class _Reader:
    """A `models.nn.ctc_feedback.ExampleReader` of the lines that were read before."""

    recognizer: CutRecognizer
    head: OpenHead
    signals: Mapping[str, Sequence[Floats]]
    lines: Mapping[str, Sequence[LinePicture]]
    widest: int

    @classmethod
    def of(cls, recognizer: CutRecognizer, log: _Log, plan: CtcFittingPlan, on_step: OnStep) -> "_Reader":
        """Compute the lines' features, and open the classes of their texts and what is taken for these."""
        lines = [line for fed in log.fed.values() for line in fed]
        on_step("computing features", 0, len(lines))
        features = recognizer.features([line.picture for line in lines])
        known = {recognizer.classes[symbol] for line in lines for symbol in line.text if symbol in recognizer.classes}
        classes = known | probable_classes(recognizer.layer, features) | {recognizer.classes[" "]}
        head = OpenHead.of(recognizer.layer, classes)
        signals = iter(head.signals(features))
        by_prediction = {name: [next(signals) for _ in fed] for name, fed in log.fed.items()}
        return cls(recognizer, head, by_prediction, log.fed, plan.buckets[-1])

    @property
    def places(self) -> Mapping[str, int]:
        """Return the number of each symbol whose class is open."""
        return {
            symbol: self.head.places[one] for symbol, one in self.recognizer.classes.items() if one in self.head.places
        }

    def text(self, labels: Sequence[int]) -> str:
        """Return the text of open classes; the rest is a symbol that is in no text."""
        classes = [*self.head.classes.tolist(), 0]
        return self.recognizer.decode([classes[label] for label in labels])

    def corrected(self, row: Row, label: Mapping[str, Any]) -> Sequence[Example]:
        """Return an example of each line that a correction names. Raises `LeftOut`."""
        if row.prediction_id not in self.lines:
            corrected_lines(row, label)  # raises the reason
        lines, signals = self.lines[row.prediction_id], self.signals[row.prediction_id]
        return [self._example(signal, line.text) for signal, line in zip(signals, lines, strict=True)]

    def example(self, row: Row, output: Mapping[str, Any]) -> Example:
        """Return the only line of a file with the text of an output. Raises `LeftOut`."""
        if row.prediction_id not in self.signals:
            only_line(row)  # raises the reason
        return self._example(self.signals[row.prediction_id][0], output["text"])

    def _example(self, signal: Floats, text: str) -> Example:
        try:
            labels = [self.head.places[one] for one in self.recognizer.encode(text)]
        except KeyError:
            raise LeftOut("unknown symbol") from None
        return fitting_example(signal, labels, self.widest)
