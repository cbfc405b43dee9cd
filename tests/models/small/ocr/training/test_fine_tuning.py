"""A version of the log: from the shipped one, by what was said of its lines."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import typer
from typer.testing import CliRunner

import models.small.ocr
from models.base import Untrainable
from models.nn.ctc_evaluation import features, parity
from models.nn.ctc_trainer import served_parameters
from models.nn.onnx_graph import Graph
from models.nn.onnx_inference import padded_inputs, session
from models.small.ocr import Ocr
from models.small.ocr.data.generation import make_lines
from models.small.ocr.train import main, train
from models.small.ocr.training.network import FINE_PLAN, NETWORK, SIGNAL
from models.small.ocr.training.trainer import OcrTrainer, Sizes
from tests.support.datasets import text_row, write_dataset

TASK = Ocr()
SHIPPED = Path(models.small.ocr.__file__).parent / "versions/1/model.onnx"
PLAN = replace(FINE_PLAN, epochs=1, columns=2432, buckets=(608,))
TRAINER = OcrTrainer(TASK, fine_plan=PLAN, sizes=Sizes(rehearsed=4, rehearsed_validation=4, held_out=4))


def lines() -> list[dict[str, Any]]:
    """Each shipped sample, corrected to what it says, or rewarded.

    Among those of each split is a text of more than 16 symbols, as in what is rehearsed: so one shape is compiled.
    """
    task = Ocr()
    found = []
    for number, sample in enumerate(task.samples()):
        image, text = task.preprocess(sample.payload)["image"], sample.correction["text"]
        split = "validation" if number % 6 == 3 else "train"
        said = {"label": text} if number % 2 else {"reward": 1.0 if number % 4 else -1.0}
        found.append(text_row(image, text, split, propensity=0.8, **said))
    return found


def test_the_same_arguments_give_the_same_bytes_and_the_card_says_where_they_come_from(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, lines(), content_hash="abc")
    steps: list[tuple[str, int, int | None]] = []
    (model, card), (again, _) = (
        TRAINER.fine_tuned(dataset, SHIPPED, 3, lambda *step: steps.append(step)) for _ in range(2)
    )
    assert model.SerializeToString() == again.SerializeToString()
    assert card["parent"] == hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert (card["dataset"], card["seed"]) == ("abc", 3)
    counts = card["feedback"]
    rows = sum(line["split"] != "test" for line in lines())
    assert (
        sum(counts[f"{split} {kind}"] for split in ("train", "validation") for kind in ("corrections", "rewards"))
        == rows
    )
    assert card["figures before"]["held_out_digit_lines"] == card["figures"]["held_out_digit_lines"] == 4
    assert {"cer_unseen_fonts", "cer_held_out_digit_lines"} <= card["figures"].keys() & card["figures before"].keys()
    assert ("fitting", 1) in [step[:2] for step in steps]
    json.dumps(card)


def test_rows_of_the_test_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    test = [text_row(np.full((24, 60), 200, np.uint8), "7", "test", label="nonsense") for _ in range(5)]
    models = [
        TRAINER.fine_tuned(write_dataset(tmp_path / name, rows), SHIPPED, 0, lambda *_: None)[0].SerializeToString()
        for name, rows in (("with", lines() + test), ("without", lines()))
    ]
    assert models[0] == models[1]


def test_the_parents_own_model_comes_back_where_nothing_is_better(tmp_path: Path) -> None:
    wrong = [{**line, "label": json.dumps({"text": "0"}), "reward": None} for line in lines()]
    right = [line for line in lines() if line.get("label")]
    rows = [{**line, "split": "train"} for line in wrong] + [{**line, "split": "validation"} for line in right]
    model, card = TRAINER.fine_tuned(write_dataset(tmp_path, rows), SHIPPED, 1, lambda *_: None)
    assert card["way gone from the parent"] == 0
    assert model.SerializeToString() == onnx.load(SHIPPED).SerializeToString()
    assert card["figures"] == card["figures before"]


def test_what_the_parent_serves_is_what_fitting_starts_from() -> None:
    model = onnx.load(SHIPPED)
    parameters = served_parameters(model)
    batch = padded_inputs(
        [features(SIGNAL, line) for line in make_lines("digits", "validation", 20, 0)],
        {"image": (24, 512), "width": ()},
    )
    assert parity(NETWORK, parameters, 1.0, session(model.SerializeToString()), SIGNAL, batch) < 1e-3


@pytest.mark.parametrize("given", [{"dataset": Path("somewhere")}, {"parent": SHIPPED}])
def test_a_dataset_needs_a_parent_and_a_parent_a_dataset(given: dict[str, Path]) -> None:
    with pytest.raises(Untrainable, match="both of these or neither"):
        train(TASK, given.get("dataset"), given.get("parent"), 0, lambda *_: None)


def test_a_parent_that_is_no_model_of_this_network_is_refused(tmp_path: Path) -> None:
    dataset, broken, other = write_dataset(tmp_path, lines()), tmp_path / "broken.onnx", tmp_path / "other.onnx"
    broken.write_bytes(b"nothing")
    graph = Graph("other")
    graph.output("y", graph.add("Identity", graph.input("x", np.float32, [1])), np.float32, [1])
    onnx.save(graph.model({}), other)
    for parent in (broken, other, tmp_path / "nowhere.onnx"):
        with pytest.raises(Untrainable, match="can't be read"):
            train(TASK, dataset, parent, 0, lambda *_: None)


def test_a_dataset_without_a_manifest_is_refused(tmp_path: Path) -> None:
    (write_dataset(tmp_path, lines()) / "manifest.json").unlink()
    with pytest.raises(Untrainable, match="manifest"):
        train(TASK, tmp_path, SHIPPED, 0, lambda *_: None)


def test_the_command_says_why_nothing_can_be_learned(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    dataset = write_dataset(tmp_path, [text_row(np.zeros((24, 60), np.uint8), "7")])
    given = ["--dataset", str(dataset), "--parent", str(SHIPPED), "--out", str(tmp_path / "2")]
    result = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    assert result.exit_code == 1
    assert "no row" in result.output
