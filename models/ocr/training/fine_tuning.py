"""Training from a parent on what a dataset says of its lines: `models.nn.ctc_feedback` and `ctc_fine_tuning`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from models.base import OnStep
from models.nn.ctc_feedback import Reading
from models.nn.ctc_fine_tuning import Rehearsal
from models.nn.ctc_trainer import Lesson
from models.ocr.data.fonts import Split
from models.ocr.data.generation import HELD_OUT_LINES, Line, make_lines
from models.ocr.symbols import decode, encode
from models.ocr.task import Ocr
from models.ocr.training import evaluation
from models.ocr.training.finalization import HeldOut, finish, held_out
from models.ocr.training.network import FINE_PLAN, NETWORK, PLAN, SIGNAL, example

READING = Reading(SIGNAL.name, NETWORK, PLAN.buckets[-1], lambda said: encode(said["text"]))


@dataclass(frozen=True)
class Sizes:
    """How many made lines of each kind are rehearsed, chosen by, and measured."""

    train: int = 700
    validation: int = 150
    test: int = HELD_OUT_LINES


def fine_tuned(
    task: Ocr, dataset: Path, parent: Path, seed: int, on_step: OnStep, sizes: Sizes | None = None
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A model and its card; the parent's own model, where nothing that was tried is better. Raises `Untrainable`."""
    sizes, plan = sizes or Sizes(), replace(FINE_PLAN, seed=seed)
    lesson = Lesson.read(READING, dataset, parent)
    on_step("making lines", 0, None)
    train, validation = _made("train", sizes.train, seed), _made("validation", sizes.validation, seed)
    rehearsal = Rehearsal([example(line) for line in train], [example(line) for line in validation])
    tuned = lesson.learned(rehearsal, plan, lambda step, steps, _: on_step("fitting", step, steps))
    on_step("measuring", 0, None)
    test = held_out(sizes.test)
    model, found = lesson.parent, (before := figures(task, lesson.parent, test))
    if tuned.share:
        corrected = [Line(one.signal, decode(one.labels)) for one in lesson.said.corrected_validation]
        model, found = finish(task, tuned.parameters, [*validation, *corrected], test)
    return model, {**lesson.card(tuned, rehearsal, plan), "figures": found, "figures before": before}


def _made(split: Split, count: int, seed: int) -> list[Line]:
    """Lines such as the parent was fitted to."""
    return make_lines("digits", split, count, seed) + make_lines("printed", split, count, seed)


def figures(task: Ocr, model: onnx.ModelProto, test: HeldOut) -> dict[str, float]:
    """The figures of a model as it is."""
    found = evaluation.figures(task, evaluation.session(model), test.digits, test.printed)
    return {name: round(value, 5) for name, value in found.items()}
