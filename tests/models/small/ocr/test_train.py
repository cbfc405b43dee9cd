"""The training command, with very little data."""

import json
from pathlib import Path

import onnx
import pytest
import typer
from typer.testing import CliRunner

from models.nn import ctc_trainer
from models.nn.convolution import FittedParameters
from models.nn.ctc_batches import CtcFittingPlan
from models.small.ocr import Ocr
from models.small.ocr.train import main
from models.small.ocr.training.network import NETWORK
from models.small.ocr.training.trainer import OcrTrainer, Sizes
from models.training_command import write

# Of the shapes of training/test_fine_tuning.py, so that they are compiled once.
QUICK = CtcFittingPlan(epochs=1, columns=2432, buckets=(608,))
TRAINER = OcrTrainer(Ocr(), plan=QUICK, sizes=Sizes(train_digits=24, train_printed=8, validation=6, held_out=6))


def test_a_short_training_gives_a_model_and_a_whole_card(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    write(TRAINER.train(None, None, 1, lambda *step: steps.append(step)), tmp_path / "7", "the command")
    card = json.loads((tmp_path / "7" / "card.json").read_text())
    assert card["version"] == "7"
    assert card["created by command"] == "the command"
    assert card["seed"] == card["plan"]["seed"] == 1
    assert card["data"]["lines"] == {"train": 32, "validation": 12, "test": 12}
    assert card["figures"]["parity_max_abs_diff"] < 1e-3
    assert card["figures"]["held_out_digit_lines"] == 6
    assert set(card["data"]["fonts"]) == {"train", "validation", "test"}
    assert card["inputs"] == {"image": ["uint8", ["batch", 24, "columns"]], "width": ["int32", ["batch"]]}
    assert {"making lines", "fitting", "measuring"} == {what for what, _, _ in steps}
    loaded = onnx.load(tmp_path / "7" / "model.onnx")
    names = [[value.name for value in values] for values in (loaded.graph.input, loaded.graph.output)]
    assert names == [["image", "width"], ["log_probs", "length"]]
    assert NETWORK.classes == loaded.graph.output[0].type.tensor_type.shape.dim[2].dim_value


def test_help_shows_an_example() -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "python -m models.small.ocr.train --seed 0" in result.output


def test_a_model_that_onnx_runtime_reads_differently_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctc_trainer, "fit", lambda network, parameters, *_: FittedParameters(parameters, [1.0]))
    monkeypatch.setattr("models.nn.ctc_evaluation.parity", lambda *_: 0.5)
    with pytest.raises(RuntimeError, match="differ by"):
        TRAINER.train(None, None, 1, lambda *_: None)
