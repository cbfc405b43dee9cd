"""`python -m models.speech_to_text.train`: a version whose decoder has learned from the log."""

from pathlib import Path

import typer

from models import training_command
from models.base import OnStep, Trained
from models.speech_to_text.task import SpeechToText
from models.speech_to_text.training.trainer import SpeechAdapter
from models.training_command import DatasetOption, OutOption, ParentOption, SeedOption


def train(task: SpeechToText, dataset: Path | None, parent: Path | None, seed: int, on_step: OnStep) -> Trained:
    """Fit a version, see `models.training.Trainer`. Raises `Untrainable`."""
    return SpeechAdapter(task).train(dataset, parent, seed, on_step)


def main(out: OutOption, dataset: DatasetOption, parent: ParentOption, seed: SeedOption = 0) -> None:
    """Train the decoder on the log's corrections, by an update of low rank.

    Example: python -m models.speech_to_text.train --dataset DIR --parent PARENT/manifest.json --out VERSION
    """
    fit = lambda on_step: train(SpeechToText(), dataset, parent, seed, on_step)  # noqa: E731
    training_command.run("models.speech_to_text.train", fit, out, {"seed": seed, "dataset": dataset, "parent": parent})


if __name__ == "__main__":
    typer.run(main)
