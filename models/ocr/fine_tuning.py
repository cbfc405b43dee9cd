"""Training from a parent on what a dataset says of its lines: `models.nn.ctc_feedback` and `ctc_fine_tuning`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from models.base import OnStep, Untrainable
from models.nn.conv_ctc import Parameters
from models.nn.conv_ctc_onnx import from_onnx
from models.nn.ctc_feedback import Feedback, Reading, feedback
from models.nn.ctc_fine_tuning import Rehearsal, fine_tune
from models.nn.ctc_fitting import Example
from models.ocr import report
from models.ocr.data import HELD_OUT_LINES, Line, make_lines
from models.ocr.finished import HeldOut, finish, held_out
from models.ocr.network import FINE_PLAN, NETWORK, PLAN, SIGNAL, example
from models.ocr.symbols import decode, encode

READING = Reading(SIGNAL.name, NETWORK, PLAN.buckets[-1], lambda said: encode(said["text"]))


@dataclass(frozen=True)
class Sizes:
    """How many made lines of each kind are rehearsed, chosen by, and measured."""

    train: int = 700
    validation: int = 150
    test: int = HELD_OUT_LINES


def fine_tuned(
    dataset: Path, parent: Path, seed: int, on_step: OnStep, sizes: Sizes | None = None
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A model and its card; the parent's own model, where nothing that was tried is better. Raises `Untrainable`."""
    sizes, plan = sizes or Sizes(), replace(FINE_PLAN, seed=seed)
    before, content_hash = _model(parent), _content_hash(dataset)
    said = feedback(dataset, READING)
    on_step("making lines", 0, None)
    rehearsed, validation = rehearsal(seed, sizes)
    tuned = fine_tune(
        NETWORK,
        served_parameters(before),
        said,
        Rehearsal([example(line) for line in rehearsed], [example(line) for line in validation]),
        plan,
        lambda step, steps, _: on_step("fitting", step, steps),
    )
    on_step("measuring", 0, None)
    test = held_out(sizes.test)
    old = figures(before, test)
    if tuned.share:
        after, found = finish(tuned.parameters, [*validation, *corrected_lines(said)], test)
    else:
        after, found = before, old
    card = {
        "seed": seed,
        "parent": hashlib.sha256(parent.read_bytes()).hexdigest(),
        "dataset": content_hash,
        "feedback": {**said.counts, "mean reward": round(said.baseline, 5)},
        "rehearsed lines": {"train": len(rehearsed), "validation": len(validation)},
        "plan": asdict(plan),
        "way gone from the parent": tuned.share,
        "tried": [{name: round(value, 5) for name, value in trial._asdict().items()} for trial in tuned.trials],
        "figures": found,
        "figures before": old,
    }
    return after, card


def rehearsal(seed: int, sizes: Sizes) -> tuple[list[Line], list[Line]]:
    """Made lines such as the parent was fitted to: to fit, and to choose by."""
    train = make_lines("digits", "train", sizes.train, seed) + make_lines("printed", "train", sizes.train, seed)
    validation = make_lines("digits", "validation", sizes.validation, seed)
    return train, validation + make_lines("printed", "validation", sizes.validation, seed)


def served_parameters(model: onnx.ModelProto) -> Parameters:
    """The parameters whose softmax is what the model serves: its temperature is divided into the last layer."""
    parameters, temperature = from_onnx(model)
    weights, bias = parameters[-1]
    return [*parameters[:-1], (weights / temperature, bias / temperature)]


def corrected_lines(said: Feedback) -> list[Line]:
    """The validation's corrected lines."""
    return [_line(one) for one in said.corrected_validation]


def figures(model: onnx.ModelProto, test: HeldOut) -> dict[str, float]:
    """The figures of a model as it is."""
    found = report.figures(report.session(model), test.digits, test.printed)
    return {name: round(value, 5) for name, value in found.items()}


def _line(corrected: Example) -> Line:
    return Line(corrected.signal, decode(corrected.labels))


def _model(parent: Path) -> onnx.ModelProto:
    """Raises `Untrainable` for what is no model of this network."""
    try:
        model = onnx.load(parent)
        parameters, _ = from_onnx(model)
    except Exception as error:  # a file's damage shows in many ways
        raise Untrainable(f"{parent} can't be read as a model of this network: {error}") from error
    if _shapes(parameters) != _shapes(NETWORK.initial(0)):
        raise Untrainable(f"{parent} holds a network of another shape: train from scratch")
    return model


def _shapes(parameters: Parameters) -> list[tuple[tuple[int, ...], ...]]:
    return [tuple(array.shape for array in pair) for pair in parameters]


def _content_hash(dataset: Path) -> str:
    """What the manifest says. Raises `Untrainable`."""
    try:
        manifest: Mapping[str, Any] = json.loads((dataset / "manifest.json").read_text())
        return str(manifest["content_hash"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Untrainable(f"{dataset} has no manifest such as `hindsight replay` writes: {error}") from error
