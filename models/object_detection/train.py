"""`python -m models.object_detection.train`: a version whose last layers have learned from the log."""

from pathlib import Path

import typer

from models import training_command
from models.base import OnStep, Trained
from models.object_detection.task import ObjectDetection
from models.object_detection.training.trainer import DetectorAdapter
from models.training_command import DatasetOption, OutOption, ParentOption, SeedOption


def train(task: ObjectDetection, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Fit a version, see `models.training.Trainer`. Raises `Untrainable`."""
    return DetectorAdapter(type(task)()).train(dataset, parent, seed, on_step)  # figures are without exploration


def main(out: OutOption, dataset: DatasetOption, parent: ParentOption, seed: SeedOption = 0) -> None:
    """Train the detector's last layers on the log's corrections.

    Example: python -m models.object_detection.train --dataset DIR --parent VERSIONS/1/manifest.json --out VERSION
    """
    options = {"seed": seed, "dataset": dataset, "parent": parent}
    training_command.run(
        "models.object_detection.train",
        lambda on_step: train(ObjectDetection(), dataset, parent, seed, on_step),
        out,
        options,
    )


if __name__ == "__main__":
    typer.run(main)
