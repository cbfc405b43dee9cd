"""The training command, with very little data and a very small network."""

import json
from itertools import islice
from pathlib import Path

import onnx
import pytest
import typer
from typer.testing import CliRunner

from models.base import Untrainable
from models.nn.convolution import FittedParameters
from models.small.object_detection import ObjectDetection
from models.small.object_detection import train as training
from models.small.object_detection.data.scenes import held_out_scenes
from models.small.object_detection.train import main, train
from models.small.object_detection.training.fitting import DetectorFittingPlan
from models.small.object_detection.training.from_scratch import Recipe
from models.small.object_detection.training.network import Detector
from models.training_command import write
from tests.support.datasets import write_dataset

TASK = ObjectDetection()
SMALL = Detector(channels=(4, 4, 4, 4), blocks=(0, 0, 0, 0), head=4)
TINY = Recipe(train=4, validation=3, plan=DetectorFittingPlan(epochs=1, batch=4))
SHIPPED = Path(training.__file__).parent / "versions/1/model.onnx"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "NETWORK", SMALL)
    monkeypatch.setattr(ObjectDetection, "held_out", lambda self: islice(held_out_scenes(1), 4))


def quiet(doing: str, done: int, of: int | None) -> None:
    """Nobody looks."""


def test_a_short_training_gives_a_model_and_a_whole_card(tmp_path: Path) -> None:
    said: list[str] = []
    trained = train(TASK, None, None, 1, lambda doing, done, of: said.append(doing), TINY)
    write(trained, tmp_path / "7", "the command")
    card = json.loads((tmp_path / "7" / "card.json").read_text())
    assert card["version"] == "7"
    assert card["created by command"] == "the command"
    assert card["seed"] == card["plan"]["seed"] == 1
    assert set(card["data"]["photographs"]) == {"train", "validation", "held_out"}
    assert card["figures"]["scenes"] == 4
    assert {"map50", "ece", "scenes_right", "score"} < set(card["figures"])
    assert said[0] == "making scenes"
    assert any(doing.startswith("fitting") for doing in said)
    loaded = onnx.load(tmp_path / "7" / "model.onnx")
    names = [[value.name for value in values] for values in (loaded.graph.input, loaded.graph.output)]
    assert names == [["image"], ["scores", "distances", "certainty"]]


@pytest.mark.parametrize("given", [{"dataset": Path("somewhere")}, {"parent": SHIPPED}])
def test_a_dataset_needs_a_parent_and_a_parent_a_dataset(given: dict[str, Path]) -> None:
    with pytest.raises(Untrainable, match="both of these or neither"):
        train(TASK, given.get("dataset"), given.get("parent"), 0, quiet)


def test_a_model_that_onnx_runtime_reads_differently_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "models.small.object_detection.training.from_scratch.fit",
        lambda network, parameters, *_: FittedParameters(parameters, [1.0]),
    )
    monkeypatch.setattr("models.small.object_detection.training.evaluation.parity", lambda *_: 0.5)
    with pytest.raises(RuntimeError, match="differ by"):
        train(TASK, None, None, 1, quiet, TINY)


def test_the_command_says_why_nothing_can_be_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "NETWORK", Detector())
    app = typer.Typer()
    app.command()(main)
    given = ["--dataset", str(write_dataset(tmp_path, [])), "--parent", str(SHIPPED), "--out", str(tmp_path / "2")]
    result = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    assert result.exit_code == 1
    assert "no row" in result.output


def test_help_shows_an_example() -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "python -m models.small.object_detection.train --seed 0" in result.output
