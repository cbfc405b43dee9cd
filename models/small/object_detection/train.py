"""`python -m models.small.object_detection.train`: from scratch, or from a parent and a dataset of the log."""

from pathlib import Path

import typer

from models import training_command
from models.base import OnStep, Trained
from models.small.object_detection.labels import LABELS
from models.small.object_detection.task import ObjectDetection
from models.small.object_detection.training.fine_tuning import FineTuningRecipe, fine_tuned
from models.small.object_detection.training.from_scratch import Recipe, train_from_scratch
from models.small.object_detection.training.network import Detector
from models.training import check_start
from models.training_command import DatasetOption, OutOption, ParentOption, SeedOption

NETWORK = Detector()


def train(
    task: ObjectDetection,
    dataset: Path | None,
    parent: Path | None,
    seed: int,
    on_step: OnStep,
    recipe: Recipe | None = None,
    fine: FineTuningRecipe | None = None,
) -> Trained:
    """Fit a version, see `models.training.Trainer`; the recipes are of a training from scratch, and from a parent.

    Raises `Untrainable`.
    """
    check_start(task.name, dataset, parent)
    plain = type(task)()  # calibration and figures are without the deployment's exploration
    if dataset is not None and parent is not None:
        model, card = fine_tuned(plain, NETWORK, dataset, parent, seed, on_step, fine)
    else:
        model, card = train_from_scratch(plain, NETWORK, seed, on_step, recipe)
    head = {
        "task": task.name,
        "model name": "Detector",
        "preprocess_version": task.preprocess_version,
        "inputs": {"image": ["uint8", ["batch", 128, 128, 3]]},
        "outputs": {
            "scores": ["float32", ["batch", 16, 16, len(LABELS)]],
            "distances": ["float32", ["batch", 16, 16, 4]],
            "certainty": ["float32", ["batch", 3]],
        },
        "labels": LABELS,
        "model bytes": len(model),
    }
    return Trained(model, {**head, **card})


def main(out: OutOption, seed: SeedOption = 0, dataset: DatasetOption = None, parent: ParentOption = None) -> None:
    """Train the detector on synthetic scenes and measure it on photographs and objects it has never seen.

    Example: python -m models.small.object_detection.train --seed 0 --out models/small/object_detection/versions/1
    """
    training_command.run(
        "models.small.object_detection.train",
        lambda on_step: train(ObjectDetection(), dataset, parent, seed, on_step),
        out,
        {"seed": seed, "dataset": dataset, "parent": parent},
    )


if __name__ == "__main__":
    typer.run(main)
