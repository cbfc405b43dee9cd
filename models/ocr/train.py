"""`python -m models.ocr.train`: a version whose recogniser has learned from the log."""

from pathlib import Path

import typer

from models import training_command
from models.base import OnStep, Trained
from models.ocr.task import Ocr
from models.ocr.training.trainer import OcrAdapter
from models.training_command import DatasetOption, OutOption, ParentOption, SeedOption


def train(task: Ocr, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Fit a version, see `models.training.Trainer`. Raises `Untrainable`."""
    return OcrAdapter(task).train(dataset, parent, seed, on_step)


def main(out: OutOption, dataset: DatasetOption, parent: ParentOption, seed: SeedOption = 0) -> None:
    """Train the recogniser's last layer on the log's feedback.

    Example: python -m models.ocr.train --dataset DIR --parent models/ocr/versions/1/manifest.json --out VERSION
    """
    options = {"seed": seed, "dataset": dataset, "parent": parent}
    training_command.run("models.ocr.train", lambda on_step: train(Ocr(), dataset, parent, seed, on_step), out, options)


if __name__ == "__main__":
    typer.run(main)
