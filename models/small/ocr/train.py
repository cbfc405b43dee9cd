"""`python -m models.small.ocr.train`: a version from scratch, or from a parent and a dataset of the log."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from models import training_command
from models.base import OnStep, Trained
from models.small.ocr.task import Ocr
from models.small.ocr.training.trainer import OcrTrainer, Sizes
from models.training_command import DatasetOption, OutOption, ParentOption, SeedOption


def train(task: Ocr, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Fit a version, see `models.training.Trainer`. Raises `Untrainable`."""
    return OcrTrainer(_without_exploration(task)).train(dataset, parent, seed, on_step)


def _without_exploration(task: Ocr) -> Ocr:
    """Return the task without exploration: calibration and figures are of the best path."""
    return type(task)()


def main(
    out: OutOption,
    seed: SeedOption = 0,
    size: Annotated[float, typer.Option(help="Share of the default number of lines: 0.1 for a quick look.")] = 1.0,
    dataset: DatasetOption = None,
    parent: ParentOption = None,
) -> None:
    """Train the ocr network on synthetic lines, or go on from a parent with the log's, and measure it on unseen lines.

    Example: python -m models.small.ocr.train --seed 0 --out models/small/ocr/versions/1

    Example: python -m models.small.ocr.train --dataset DIR --parent models/small/ocr/versions/1/model.onnx --out 2
    """
    sizes = Sizes(**{name: max(1, round(count * size)) for name, count in asdict(Sizes()).items()})
    trainer = OcrTrainer(Ocr(), sizes=sizes)
    options = {"seed": seed, "size": f"{size:g}" if size != 1.0 else None, "dataset": dataset, "parent": parent}
    training_command.run(
        "models.small.ocr.train", lambda on_step: trainer.train(dataset, parent, seed, on_step), out, options
    )


if __name__ == "__main__":
    typer.run(main)
