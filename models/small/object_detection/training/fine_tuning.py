"""Fine-tune a parent on a dataset's feedback, without forgetting what it could do."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from models.base import OnStep, Untrainable
from models.nn.weight_interpolation import SHARES, Trial, TunedParameters, chosen, interpolated
from models.provenance import provenance
from models.small.object_detection.data.generation import Labelled, examples, make_scenes
from models.small.object_detection.task import ObjectDetection
from models.small.object_detection.training.feedback import DetectionFeedback, SplitFeedback, feedback
from models.small.object_detection.training.finalization import figures, finish
from models.small.object_detection.training.fine_tuning_loop import (
    FineTuningPlan,
    TuningScenes,
    fit_further,
    mean_losses,
)
from models.small.object_detection.training.network import Detector
from models.small.object_detection.training.onnx_export import Calibration, calibration_of, from_onnx

MAX_LOSS_INCREASE = 1.1
"""See `models.nn.weight_interpolation`. Near this bound the mAP on the held-out set was lower by 1 % to 3 %."""


@dataclass(frozen=True)
class FineTuningRecipe:
    """How many made scenes are rehearsed and chosen by, and how it is fitted."""

    train: int = 1_000
    validation: int = 200
    plan: FineTuningPlan = field(default_factory=FineTuningPlan)


@dataclass(frozen=True)
class RehearsedScenes:
    """Made scenes such as the parent was fitted to: on which it shall stay what it was, and to choose by."""

    train: Sequence[Labelled]
    validation: Sequence[Labelled]

    @classmethod
    def make(cls, recipe: FineTuningRecipe, seed: int) -> "RehearsedScenes":
        """Return the same for the same seed."""
        return cls(make_scenes("train", recipe.train, seed), make_scenes("validation", recipe.validation, seed))


def fine_tuned(
    task: ObjectDetection,
    network: Detector,
    dataset: Path,
    parent: Path,
    seed: int,
    on_step: OnStep,
    recipe: FineTuningRecipe | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """Return a model and its card: the parent's own model where nothing that was tried is better.

    Raises `Untrainable`.
    """
    recipe = recipe or FineTuningRecipe()
    recipe = replace(recipe, plan=replace(recipe.plan, seed=seed))
    before, origin = _model(parent, network), provenance(seed, parent, dataset)
    given = feedback(dataset, before)
    on_step("making scenes", 0, None)
    rehearsal = RehearsedScenes.make(recipe, seed)
    fitting = lambda step, steps, loss: on_step(f"fitting, loss {loss:.3f}", step, steps)  # noqa: E731
    tuned = fine_tune(network, before, given, rehearsal, recipe, fitting)
    on_step("measuring", 0, None)
    model = before
    if tuned.share:
        model, _ = finish(task, network, tuned.parameters, calibration_of(before), rehearsal.validation)
    old = figures(task, before)
    card = {
        **origin,
        "feedback": {**given.counts, "mean reward": round(given.baseline, 5)},
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
    given: DetectionFeedback,
    rehearsal: RehearsedScenes,
    recipe: FineTuningRecipe,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> TunedParameters:
    """Return parameters between the parent's and those fitted to feedback.

    How far to go is chosen on validation data, see `models.nn.weight_interpolation`. The calibration stays the
    parent's, as its maps do on what is rehearsed.
    """
    start, calibration = from_onnx(parent), calibration_of(parent)
    rehearsed = examples(rehearsal.train).squares
    fitted = fit_further(network, start, _tuning_scenes(given.train, calibration), rehearsed, recipe.plan, on_step)
    interpolations = [interpolated(start, fitted, share) for share in SHARES]
    losses = mean_losses(network, interpolations, _tuning_scenes(given.validation, calibration), recipe.plan)
    no_scenes = given.validation.negative.taken(np.zeros(0, np.int64))
    rehearsed_validation = SplitFeedback(list(rehearsal.validation), [], no_scenes)
    rehearsal_losses = mean_losses(
        network, interpolations, _tuning_scenes(rehearsed_validation, calibration), recipe.plan
    )
    trials = [Trial(*values) for values in zip(SHARES, losses, rehearsal_losses, strict=True)]
    best = chosen(trials, MAX_LOSS_INCREASE)
    return TunedParameters(interpolations[trials.index(best)], best.share, trials)


def _tuning_scenes(given: SplitFeedback, calibration: Calibration) -> TuningScenes:
    positive, weights = [scene for scene, _ in given.positive], [weight for _, weight in given.positive]
    weight_array = np.array(weights, np.float32)
    return TuningScenes(examples(given.corrected), examples(positive), weight_array, given.negative, calibration)


def _model(parent: Path, network: Detector) -> onnx.ModelProto:
    """Read a model of this network. Raises `Untrainable`."""
    try:
        model = onnx.load(parent)
        parameters = from_onnx(model)
        calibration_of(model)
    except Exception as error:  # a file's damage shows in many ways
        raise Untrainable(f"{parent} can't be read as a detector of this kind: {error}") from error
    if [weights.shape for weights, _ in parameters] != [weights.shape for weights, _ in network.initial(0)]:
        raise Untrainable(f"{parent} is a detector of another shape: train from scratch.")
    return model
