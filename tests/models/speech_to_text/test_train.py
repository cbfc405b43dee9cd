"""The training, with a tiny network and very little data made of shipped clips: espeak-ng need not be there."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from models import tensors
from models.base import Features, Trained, Untrainable
from models.datasets import ROWS
from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import from_onnx, to_onnx
from models.nn.ctc_fitting import Fitted, Plan
from models.speech_to_text import SpeechToText, report, train
from models.speech_to_text.data import Utterance
from models.speech_to_text.mel import MELS
from models.speech_to_text.network import SIGNAL
from models.speech_to_text.symbols import CLASSES

TASK = SpeechToText()
SMALL = ConvCtc(height=MELS, classes=CLASSES, stem=(2, 2), channels=4, dilations=(1,))
TINY = train.Sizes(train=8, validation=6)
QUICK = Plan(epochs=1, buckets=(512,), columns=2_048, scale=SIGNAL.scale)


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipped clips stand for what espeak-ng would say, and a few for the held-out set."""
    clips = [
        Utterance(TASK.preprocess(sample.payload)["mels"], sample.correction["text"])
        for sample in islice(TASK.held_out(), 8)
    ]

    def made(split: str, count: int, seed: int, on_made: Callable[[int], None]) -> list[Utterance]:
        on_made(count)
        return clips[:count]

    few = list(islice(TASK.held_out(), 4))
    monkeypatch.setattr(train, "make_utterances", made)
    monkeypatch.setattr(SpeechToText, "held_out", lambda self: iter(few))
    for module in (train, report):
        monkeypatch.setattr(module, "NETWORK", SMALL)


def trained(**more: Any) -> Trained:
    arguments = {"dataset": None, "parent": None, "seed": 1, "on_step": lambda *_: None, "sizes": TINY, "plan": QUICK}
    return train.train(**{**arguments, **more})


def parent(directory: Path, model: bytes) -> Path:
    (directory / "model.onnx").write_bytes(model)
    return directory / "model.onnx"


def test_a_short_training_gives_a_model_and_a_whole_card(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    made = trained(on_step=lambda *step: steps.append(step))
    train.write(made, tmp_path / "7", "the command")
    card = json.loads((tmp_path / "7" / "card.json").read_text())
    assert (card["version"], card["created by command"], card["task"]) == ("7", "the command", "speech_to_text")
    assert card["seed"] == card["plan"]["seed"] == 1
    assert card["data"]["recordings"] == {"train": 8, "validation": 6}
    assert card["data"]["corrections"] == {"train": 0, "validation": 0, "left out": {}}
    assert card["figures"]["parity_max_abs_diff"] < 1e-3
    assert card["figures"]["clips"] == 4
    assert {"making train data", "making validation data", "fitting", "measuring"} == {what for what, _, _ in steps}
    loaded = onnx.load(tmp_path / "7" / "model.onnx")
    names = [[value.name for value in values] for values in (loaded.graph.input, loaded.graph.output)]
    assert names == [["mels", "width"], ["log_probs", "length"]]
    assert card["model bytes"] == len(made.model)


def test_training_starts_from_its_parent_with_the_corrections_of_a_dataset(tmp_path: Path) -> None:
    weights = SMALL.initial(3)
    first = parent(tmp_path, to_onnx(SMALL, weights, SIGNAL).SerializeToString())
    features: Features = {"mels": np.full((SMALL.height, 60), 90, np.uint8), "width": np.array(60, np.int32)}
    data, declaration = tensors.encode(features)
    row = {"features": data, "tensors": declaration, "output": "{}", "propensity": 1.0, "reward": None}
    rows = [{**row, "split": split, "label": '{"text": "Yes"}'} for split in ("train", "train", "validation", "test")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / ROWS)
    made = trained(parent=first, dataset=tmp_path, plan=replace(QUICK, rate=1e-6))
    assert made.card["data"]["corrections"] == {"train": 2, "validation": 1, "left out": {}}
    found, _ = from_onnx(onnx.load(BytesIO(made.model)))
    moved = [
        np.abs(np.asarray(new) - np.asarray(old)).max()
        for a, b in zip(found, weights, strict=True)
        for new, old in zip(a, b, strict=True)
    ]
    assert 0 < max(moved) < 1e-4


def test_a_parent_of_another_network_can_not_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(Untrainable, match="can't be read"):
        trained(parent=parent(tmp_path, b"no model"))
    ocr = Path(train.__file__).parents[1] / "ocr" / "versions" / "1" / "model.onnx"
    with pytest.raises(Untrainable, match="another shape"):
        trained(parent=ocr)


def test_a_model_that_onnx_runtime_reads_differently_is_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "fit", lambda network, parameters, *_: Fitted(parameters, [1.0]))
    monkeypatch.setattr(report, "parity", lambda *_: 0.5)
    with pytest.raises(RuntimeError, match="differ by"):
        trained()


def test_help_shows_an_example() -> None:
    app = typer.Typer()
    app.command()(train.main)
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "python -m models.speech_to_text.train --seed 0" in result.output
