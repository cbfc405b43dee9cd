"""Training from a parent on what a dataset says of its scenes, without forgetting what it could do."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from models import datasets
from models.base import OnStep, Untrainable
from models.nn.weight_interpolation import SHARES, Trial, Tuned, between, chosen
from models.object_detection.data.generation import Labelled, examples, made
from models.object_detection.task import ObjectDetection
from models.object_detection.training.feedback import Feedback, Said, feedback
from models.object_detection.training.finalization import figures, finish
from models.object_detection.training.fine_tuning_loop import FinePlan, Lessons, fine_fit, mean_losses
from models.object_detection.training.network import Detector
from models.object_detection.training.onnx_export import Calibration, calibration_of, from_onnx

MOST_FORGOTTEN = 1.1
"""See `models.nn.weight_interpolation`. Near this bound the mAP on the held-out set was lower by 1 % to 3 %."""


@dataclass(frozen=True)
class FineRecipe:
    """How many made scenes are rehearsed and chosen by, and how it is fitted."""

    train: int = 1_000
    validation: int = 200
    plan: FinePlan = field(default_factory=FinePlan)


@dataclass(frozen=True)
class Rehearsal:
    """Made scenes such as the parent was fitted to: on which it shall stay what it was, and to choose by."""

    train: Sequence[Labelled]
    validation: Sequence[Labelled]

    @classmethod
    def made(cls, recipe: FineRecipe, seed: int) -> "Rehearsal":
        """The same for the same seed."""
        return cls(made("train", recipe.train, seed), made("validation", recipe.validation, seed))


def fine_tuned(
    task: ObjectDetection,
    network: Detector,
    dataset: Path,
    parent: Path,
    seed: int,
    on_step: OnStep,
    recipe: FineRecipe | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """A model and its card; the parent's own model, where nothing that was tried is better. Raises `Untrainable`."""
    recipe = recipe or FineRecipe()
    recipe = replace(recipe, plan=replace(recipe.plan, seed=seed))
    before, content_hash = _model(parent, network), datasets.content_hash(dataset)
    said = feedback(dataset, before)
    on_step("making scenes", 0, None)
    rehearsal = Rehearsal.made(recipe, seed)
    fitting = lambda step, steps, loss: on_step(f"fitting, loss {loss:.3f}", step, steps)  # noqa: E731
    tuned = fine_tune(network, before, said, rehearsal, recipe, fitting)
    on_step("measuring", 0, None)
    model = before
    if tuned.share:
        model, _ = finish(task, network, tuned.parameters, calibration_of(before), rehearsal.validation)
    old = figures(task, before)
    card = {
        "seed": seed,
        "parent": hashlib.sha256(parent.read_bytes()).hexdigest(),
        "dataset": content_hash,
        "feedback": {**said.counts, "mean reward": round(said.baseline, 5)},
        "rehearsed scenes": {"train": len(rehearsal.train), "validation": len(rehearsal.validation)},
        "network": asdict(network),
        "plan": asdict(recipe.plan),
        "calibration": {"the parent's": asdict(calibration_of(before))},
        **tuned.card(),
        "figures": figures(task, model) if tuned.share else old,
        "figures before": old,
    }
    return model.SerializeToString() if tuned.share else parent.read_bytes(), card


def fine_tune(
    network: Detector,
    parent: onnx.ModelProto,
    said: Feedback,
    rehearsal: Rehearsal,
    recipe: FineRecipe,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> Tuned:
    """Parameters between the parent's and those fitted to feedback.

    How far to go is chosen on validation data, see `models.nn.weight_interpolation`. The calibration stays the
    parent's, as its maps do on what is rehearsed.
    """
    start, calibration = from_onnx(parent), calibration_of(parent)
    rehearsed = examples(rehearsal.train).squares
    fitted = fine_fit(network, start, _lessons(said.train, calibration), rehearsed, recipe.plan, on_step)
    ways = [between(start, fitted, share) for share in SHARES]
    losses = mean_losses(network, ways, _lessons(said.validation, calibration), recipe.plan)
    nobody = said.validation.punished.taken(np.zeros(0, np.int64))
    known = Said(list(rehearsal.validation), [], nobody)
    kept = mean_losses(network, ways, _lessons(known, calibration), recipe.plan)
    trials = [Trial(*one) for one in zip(SHARES, losses, kept, strict=True)]
    best = chosen(trials, MOST_FORGOTTEN)
    return Tuned(ways[trials.index(best)], best.share, trials)


def _lessons(said: Said, calibration: Calibration) -> Lessons:
    praised, weights = [scene for scene, _ in said.praised], [weight for _, weight in said.praised]
    weighed = np.array(weights, np.float32)
    return Lessons(examples(said.corrected), examples(praised), weighed, said.punished, calibration)


def _model(parent: Path, network: Detector) -> onnx.ModelProto:
    """Raises `Untrainable` for what is no model of this network."""
    try:
        model = onnx.load(parent)
        parameters = from_onnx(model)
        calibration_of(model)
    except Exception as error:  # a file's damage shows in many ways
        raise Untrainable(f"{parent} can't be read as a detector of this kind: {error}") from error
    if [weights.shape for weights, _ in parameters] != [weights.shape for weights, _ in network.initial(0)]:
        raise Untrainable(f"{parent} is a detector of another shape: train from scratch.")
    return model
