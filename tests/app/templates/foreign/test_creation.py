"""From a foreign model to a folder whose tests pass at once."""

import asyncio
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import SetupError
from app.events.types import PredictionMade
from app.settings import CHECKOUT
from app.templates.foreign.creation import create_foreign_task
from app.templates.foreign.design import Design
from app.templates.foreign.hints import Hints
from app.testing import run_pipeline
from models.base import Task
from models.manifest import Manifest
from models.nn.onnx_graph import Graph
from tests.support import foreign_models
from tests.support.foreign_models import DETECTORS, OBJECTS, SIDE, save
from tests.support.sample_files import encode_picture

LETTERS = Hints(labels=("a", "b", "c"))
SHADES = (255, 213, 170, 128, 85, 42, 0)
"""Of grey: what the line reader with seven symbols, the blank first, takes for symbol 0, 1, ..."""


def create(folder: Path, name: str, graph: Graph, kind: str | None = None, hints: Hints | None = None) -> Design:
    """Create a task from a model. Its package can be imported if `folder` is on the path."""
    path = save(graph, folder / "exported" / f"{name}.onnx")
    _, _, design = create_foreign_task(name, folder, [], path, kind, hints or Hints(), [])
    return design


def load(name: str) -> Task:
    package = import_module(name)
    task: Task = getattr(package, package.__all__[0])()
    return task


def answer(task: Task, payload: bytes) -> PredictionMade:
    [made] = asyncio.run(run_pipeline(task, [payload]))
    assert isinstance(made, PredictionMade), made
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_tests_of_tasks_of_all_kinds_pass_at_once(tmp_path: Path) -> None:
    create(tmp_path, "found", DETECTORS["YOLOv8"]())
    create(tmp_path, "read", foreign_models.line_reader(4), hints=LETTERS)
    create(tmp_path, "heard", foreign_models.speech_reader(4), hints=LETTERS)
    create(tmp_path, "colour", foreign_models.colour_classifier())
    create(tmp_path, "measured", foreign_models.linear(3, 3))
    create(tmp_path, "chosen", foreign_models.linear(3, 3), "bandit")
    words = [sys.executable, "-m", "pytest", "-c", str(CHECKOUT / "pyproject.toml"), "--rootdir", ".", "."]
    variables = os.environ | {"PYTHONPATH": f"{tmp_path}:{CHECKOUT}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "54 passed" in done.stdout


@pytest.mark.parametrize("name", DETECTORS)
def test_the_boxes_of_each_form_are_found_in_the_pictures_own_pixels(folder: Path, name: str) -> None:
    create(folder, f"boxes_{name.lower()}", DETECTORS[name]())
    picture = encode_picture(Image.new("RGB", (2 * SIDE, SIDE), "grey"), "PNG")
    boxes = answer(load(f"boxes_{name.lower()}"), picture).output["boxes"]
    assert [(box["label"], round(box["score"], 2)) for box in boxes] == [(label, score) for _, label, score in OBJECTS]
    for box, (expected, _, _) in zip(boxes, OBJECTS, strict=True):
        left, top, right, bottom = (2 * edge for edge in expected)  # twice as large, in the middle of the square
        cut = np.clip([top - SIDE / 2, bottom - SIDE / 2], 0, SIDE)
        assert box["box"] == pytest.approx([left, cut[0], right, cut[1]], abs=1e-3)


@pytest.mark.parametrize(("batch", "frames_first"), [("batch", False), ("batch", True), (1, False), (1, True)])
def test_a_line_is_read_whatever_the_order_of_the_axes(folder: Path, batch: str | int, frames_first: bool) -> None:
    name = f"line_{batch}_{frames_first}".lower()
    graph = foreign_models.line_reader(7, batch=batch, frames_first=frames_first)
    design = create(folder, name, graph, hints=Hints(labels=tuple("abcdef")))
    assert (design.kind, design.options.one_by_one) == ("ctc", batch == 1)
    shades = [SHADES[symbol] for symbol in (1, 1, 0, 2, 3, 3, 0, 3)]
    line = Image.fromarray(np.repeat(np.repeat(np.array([shades], np.uint8), 32, axis=0), 4, axis=1))
    assert answer(load(name), encode_picture(line, "PNG")).output == {"text": "abcc"}


def test_options_reach_the_model(folder: Path) -> None:
    hints = Hints(
        size=(8, 8), channels="BGR", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), labels=("blue", "green", "red")
    )
    design = create(folder, "reversed_colour", foreign_models.colour_classifier(), hints=hints)
    assert not [note for note in design.notes.assumed if "labels" in note or "channels" in note or "normalised" in note]
    red = encode_picture(Image.new("RGB", (30, 20), "red"), "PNG")
    made = answer(load("reversed_colour"), red)
    assert (made.output, round(made.confidence, 3)) == ({"label": "red"}, round(np.e / (np.e + 2), 3))


def test_what_is_assumed_is_in_the_class_and_in_the_card(folder: Path) -> None:
    design = create(folder, "unknown_colour", foreign_models.colour_classifier())
    code = (folder / "unknown_colour" / "task.py").read_text()
    card = json.loads((folder / "unknown_colour" / "versions" / "1" / "card.json").read_text())
    assert card["assumed"] == design.notes.assumed
    assert "--mean" in code
    assert "--labels" in code
    assert "pixel_values float (?, 3, ?, ?) -> logits float (?, 3)" in code
    assert card["source"]["opset"] == "17"


def test_an_action_is_drawn_with_the_propensity_that_it_has(folder: Path) -> None:
    create(folder, "offers", foreign_models.linear(3, 3), "bandit", Hints(labels=("none", "small", "large")))
    task = load("offers")
    requests = [
        json.dumps({"column_0": 0, "column_1": 0.5, "column_2": number / 1000}).encode() for number in range(40)
    ]
    made = [one for one in asyncio.run(run_pipeline(task, requests)) if isinstance(one, PredictionMade)]
    for one in made:
        assert one.output["probabilities"]["small"] == pytest.approx(0.9 + 0.1 / 3, abs=0.01)
    assert all(one.propensity == one.output["probabilities"][one.output["action"]] for one in made)
    assert 30 <= sum(one.output["action"] == "small" for one in made) < 40


def test_columns_that_are_inputs_of_their_own_are_put_together(folder: Path) -> None:
    graph = Graph("columns")
    age, height = (graph.input(name, np.float32, ["batch", 1]) for name in ("age", "height"))
    graph.output("scores", graph.add("Concat", age, height, axis=1), np.float32, ["batch", 2])
    create(folder, "columns_apart", graph)
    assert answer(load("columns_apart"), b'{"height": 7, "age": 1}').output == {"label": "class_1"}


def test_the_metadata_of_a_model_names_its_labels(tmp_path: Path) -> None:
    path = save(DETECTORS["YOLOv8"](), tmp_path / "best.onnx", {"names": "{0: 'cup', 1: 'jug'}", "task": "detect"})
    _, _, design = create_foreign_task("crockery", tmp_path, [], path, None, Hints(), [])
    assert (design.kind, design.labels) == ("detection", ("cup", "jug"))
    manifest = Manifest.parse((tmp_path / "crockery" / "versions" / "1" / "manifest.json").read_bytes())
    assert manifest.labels == ("cup", "jug")


@pytest.mark.parametrize(
    ("graph", "kind", "message"),
    [
        (foreign_models.line_reader(4), None, "has 4 symbols with the blank, and 0 are given"),
        (foreign_models.colour_classifier(batch=2), None, "takes batches of 2 only"),
        (foreign_models.colour_classifier(), "detection", "not boxes of a known form"),
        (foreign_models.colour_classifier(), "ctc", "no output has a score for each symbol in each frame"),
        (foreign_models.colour_classifier(), "seq2seq", "writes its output token by token"),
        (foreign_models.linear(3, 1), "bandit", "a value for each of at least two actions"),
        (foreign_models.linear(3, 1), None, "gives one number"),
    ],
)
def test_what_cannot_be_a_task_is_refused_with_a_reason_and_a_remedy(
    tmp_path: Path, graph: Graph, kind: str | None, message: str
) -> None:
    with pytest.raises(SetupError) as caught:
        create(tmp_path, "refused", graph, kind)
    assert message in caught.value.message
    assert caught.value.remedy
    assert not (tmp_path / "refused").exists()


def test_a_sample_that_the_task_rejects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    path = save(foreign_models.colour_classifier(), tmp_path / "colour.onnx")
    with pytest.raises(SetupError, match=r"The sample 00-notes\.txt is rejected"):
        create_foreign_task("colour", tmp_path, [], path, None, Hints(), [tmp_path / "notes.txt"])
