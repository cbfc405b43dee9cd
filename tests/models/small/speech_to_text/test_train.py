"""The training, with a tiny network and very little data made of shipped clips: espeak-ng need not be there."""

import json
from itertools import islice
from pathlib import Path

import onnx
import pytest
import typer
from typer.testing import CliRunner

from models.base import OnStep, Untrainable
from models.nn import ctc_trainer
from models.nn.conv_ctc import ConvCtc
from models.nn.convolution import FittedParameters
from models.nn.ctc import LabelledSignal
from models.nn.ctc_batches import CtcFittingPlan
from models.small.speech_to_text import SpeechToText
from models.small.speech_to_text.mel import MELS
from models.small.speech_to_text.symbols import CLASSES
from models.small.speech_to_text.train import main, train
from models.small.speech_to_text.training import trainer
from models.small.speech_to_text.training.network import SIGNAL
from models.small.speech_to_text.training.trainer import Sizes, SpeechTrainer
from models.training_command import write

TASK = SpeechToText()
SMALL = ConvCtc(height=MELS, classes=CLASSES, stem=(2, 2), channels=4, dilations=(1,))
QUICK = CtcFittingPlan(epochs=1, buckets=(512,), columns=2_048, scale=SIGNAL.scale)
TRAINER = SpeechTrainer(TASK, network=SMALL, plan=QUICK, sizes=Sizes(train=8, validation=6))


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipped clips stand for what espeak-ng would say, and a few for the held-out set."""
    clips = [
        LabelledSignal(TASK.preprocess(sample.payload)["mels"], sample.correction["text"])
        for sample in islice(TASK.held_out(), 8)
    ]

    def made(split: str, count: int, seed: int, on_step: OnStep) -> list[LabelledSignal]:
        on_step(f"making {split} data", count, count)
        return clips[:count]

    few = list(islice(TASK.held_out(), 4))
    monkeypatch.setattr(trainer, "make_split", made)
    monkeypatch.setattr(SpeechToText, "held_out", lambda self: iter(few))


def test_a_short_training_gives_a_model_and_a_whole_card(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    write(TRAINER.train(None, None, 1, lambda *step: steps.append(step)), tmp_path / "7", "the command")
    card = json.loads((tmp_path / "7" / "card.json").read_text())
    assert (card["version"], card["created by command"]) == ("7", "the command")
    assert card["seed"] == card["plan"]["seed"] == 1
    assert card["data"]["recordings"] == {"train": 8, "validation": 6}
    assert card["figures"]["parity_max_abs_diff"] < 1e-3
    assert card["figures"]["clips"] == 4
    assert {"making train data", "making validation data", "fitting", "measuring"} == {what for what, _, _ in steps}
    loaded = onnx.load(tmp_path / "7" / "model.onnx")
    names = [[value.name for value in values] for values in (loaded.graph.input, loaded.graph.output)]
    assert names == [["mels", "width"], ["log_probs", "length"]]


def test_a_model_that_onnx_runtime_reads_differently_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctc_trainer, "fit", lambda network, parameters, *_: FittedParameters(parameters, [1.0]))
    monkeypatch.setattr("models.nn.ctc_evaluation.parity", lambda *_: 0.5)
    with pytest.raises(RuntimeError, match="differ by"):
        TRAINER.train(None, None, 1, lambda *_: None)


@pytest.mark.parametrize("given", [{"dataset": Path("somewhere")}, {"parent": Path("model.onnx")}])
def test_a_dataset_needs_a_parent_and_a_parent_a_dataset(given: dict[str, Path]) -> None:
    with pytest.raises(Untrainable, match="both of these or neither"):
        train(TASK, given.get("dataset"), given.get("parent"), 0, lambda *_: None)


def test_help_shows_an_example() -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "python -m models.small.speech_to_text.train --seed 0" in result.output
