"""The training command, with very little data and a very small network."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from app.eventlog.dataset import SCHEMA, Writer
from models import tensors
from models.base import Untrainable
from models.nn.conv_ctc import Parameters
from models.object_detection import ObjectDetection
from models.object_detection import train as training
from models.object_detection.export import Calibration, from_onnx, to_onnx
from models.object_detection.fitting import Examples, Fitted, Plan
from models.object_detection.network import Detector
from models.object_detection.scenes import held_out_scenes
from models.object_detection.train import Recipe, main, train, write

SMALL = Detector(channels=(4, 4, 4, 4), blocks=(0, 0, 0, 0), head=4)
TINY = Recipe(train=4, validation=3, plan=Plan(epochs=1, batch=4), most_repeats=3)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "NETWORK", SMALL)
    monkeypatch.setattr(ObjectDetection, "held_out", lambda self: islice(held_out_scenes(1), 4))


def quiet(doing: str, done: int, of: int | None) -> None:
    """Nobody looks."""


def dataset(folder: Path, label: str | None) -> Path:
    folder.mkdir()
    sample = next(held_out_scenes(9))
    features, declared = tensors.encode(ObjectDetection().preprocess(sample.payload))
    row = {**dict.fromkeys(SCHEMA.names), "split": "train", "features": features, "tensors": declared, "label": label}
    row |= {"output": '{"boxes": []}', "propensity": 1.0}
    with Writer(folder / "rows.parquet") as writer:
        writer.write(pa.RecordBatch.from_pylist([row], SCHEMA))
    return folder


def test_a_short_training_gives_a_model_and_a_whole_card(tmp_path: Path) -> None:
    said: list[str] = []
    trained = train(None, None, 1, lambda doing, done, of: said.append(doing), TINY)
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


def test_training_goes_on_from_a_parent_with_corrections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = tmp_path / "model.onnx"
    onnx.save(to_onnx(SMALL, SMALL.initial(5), Calibration()), parent)
    fitted_on: list[int] = []

    def not_fitted(network: Detector, parameters: Parameters, scenes: Examples, *_: object) -> Fitted:
        fitted_on.append(len(scenes.squares))
        return Fitted(parameters, [1.0])

    monkeypatch.setattr(training, "fit", not_fitted)
    label = json.dumps({"boxes": [{"box": [10.0, 10.0, 60.0, 60.0], "label": "mug"}]})
    trained = train(dataset(tmp_path / "dataset", label), parent, 1, quiet, TINY)
    assert trained.card["data"]["corrections"] == {"train": 1}
    for (weights, _), (same, _) in zip(from_onnx(onnx.load_from_string(trained.model)), SMALL.initial(5), strict=True):
        assert np.array_equal(weights, same)
    assert fitted_on == [TINY.train + TINY.most_repeats]


def test_a_dataset_without_corrections_is_said_to_be_of_no_use(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match="feedback"):
        train(dataset(tmp_path / "dataset", None), None, 1, quiet, TINY)


def test_a_parent_of_another_kind_or_shape_is_refused(tmp_path: Path) -> None:
    other = Detector(channels=(4, 4, 4, 8), blocks=(0, 0, 0, 0), head=4)
    onnx.save(to_onnx(other, other.initial(0), Calibration()), tmp_path / "other.onnx")
    with pytest.raises(Untrainable, match="shape"):
        train(None, tmp_path / "other.onnx", 1, quiet, TINY)


def test_a_model_that_onnx_runtime_reads_differently_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "fit", lambda network, parameters, *_: Fitted(parameters, [1.0]))
    monkeypatch.setattr("models.object_detection.report.parity", lambda *_: 0.5)
    with pytest.raises(RuntimeError, match="differ by"):
        train(None, None, 1, quiet, TINY)


def test_help_shows_an_example() -> None:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "python -m models.object_detection.train --seed 0" in result.output
