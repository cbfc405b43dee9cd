"""`python -m models.small.speech_to_text.train`: a version from scratch, or from a parent and a dataset of the log."""

from pathlib import Path

import typer

from models import training_command
from models.base import OnStep, Trained
from models.small.speech_to_text.task import SpeechToText
from models.small.speech_to_text.training.trainer import SpeechTrainer
from models.training_command import DatasetOption, OutOption, ParentOption, SeedOption


def train(task: SpeechToText, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Fit a version, see `models.training.Trainer`. Raises `Untrainable`."""
    return SpeechTrainer(_without_exploration(task)).train(dataset, parent, seed, on_step)


def _without_exploration(task: SpeechToText) -> SpeechToText:
    """Return the task without exploration: calibration and figures are of the best path."""
    return type(task)()


def main(out: OutOption, seed: SeedOption = 0, dataset: DatasetOption = None, parent: ParentOption = None) -> None:
    """Train the speech_to_text network on synthetic speech, or go on from a parent with the log's recordings.

    It is measured on voices that it has never heard.

    Example: python -m models.small.speech_to_text.train --seed 0 --out models/small/speech_to_text/versions/1

    Example: python -m models.small.speech_to_text.train --dataset DIR --parent 1/model.onnx --out 2
    """
    training_command.run(
        "models.small.speech_to_text.train",
        lambda on_step: train(SpeechToText(), dataset, parent, seed, on_step),
        out,
        {"seed": seed, "dataset": dataset, "parent": parent},
    )


if __name__ == "__main__":
    typer.run(main)
