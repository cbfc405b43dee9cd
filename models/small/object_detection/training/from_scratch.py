"""Training from scratch: made scenes by seed, fitting, calibration, and the card."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from models.base import OnStep
from models.nn.convolution import parameter_count
from models.nn.training_costs import TrainingCosts
from models.small.object_detection.data.generation import examples, make_scenes
from models.small.object_detection.data.objects import INSTANCES
from models.small.object_detection.data.photographs import PHOTOGRAPHS
from models.small.object_detection.task import ObjectDetection
from models.small.object_detection.training import evaluation
from models.small.object_detection.training.finalization import figures, finish
from models.small.object_detection.training.fitting import DetectorFittingPlan, fit
from models.small.object_detection.training.network import Detector


@dataclass(frozen=True)
class Recipe:
    """How much is made, and how it is fitted."""

    train: int = 12_000
    validation: int = 500
    plan: DetectorFittingPlan = field(default_factory=DetectorFittingPlan)


def train_from_scratch(
    task: ObjectDetection, network: Detector, seed: int, on_step: OnStep, recipe: Recipe | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Return a model and its card. Raises `RuntimeError` if ONNX Runtime doesn't agree with JAX."""
    recipe = recipe or Recipe()
    plan, costs = replace(recipe.plan, seed=seed), TrainingCosts()
    on_step("making scenes", 0, recipe.train + recipe.validation)
    scenes = make_scenes("train", recipe.train, seed)
    validation = make_scenes("validation", recipe.validation, seed)
    on_step("making scenes", recipe.train + recipe.validation, recipe.train + recipe.validation)

    costs.data_made()
    fitted = fit(
        network,
        network.initial(seed),
        examples(scenes),
        plan,
        lambda step, steps, loss: on_step(f"fitting, loss {loss:.3f}", step, steps),
    )
    costs.fitted()

    on_step("measuring", 0, None)
    calibration = evaluation.calibrated(task, network, fitted.parameters, validation)
    model, difference = finish(task, network, fitted.parameters, calibration, validation)
    card = {
        "seed": seed,
        "data": _data_card(recipe),
        "parameters": parameter_count(fitted.parameters),
        "network": asdict(network),
        "plan": asdict(plan),
        "calibration": asdict(calibration),
        **costs.card(),
        "figures": {
            **figures(task, model),
            "parity_max_abs_diff": float(f"{difference:.3g}"),
            "last_loss": round(float(np.mean(fitted.losses[-50:])), 5),
        },
    }
    return model.SerializeToString(), card


def _data_card(recipe: Recipe) -> dict[str, Any]:
    return {
        "objects": "drawn by models/small/object_detection/data/objects.py; no instance is in two splits",
        "instances of each class": {split: len(numbers) for split, numbers in INSTANCES.items()},
        "photographs": {split: [asdict(photograph) for photograph in all_] for split, all_ in PHOTOGRAPHS.items()},
        "photographs are": "made smaller (at most 560 pixels); no photograph is in two splits",
        "scenes": {"train": recipe.train, "validation": recipe.validation},
        "right means": "every object found with intersection over union 0.5 or more and its class, and nothing else",
    }
