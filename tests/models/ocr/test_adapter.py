"""Corrections of lines become a version whose recogniser has another head, and nothing else that is new."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.registry.shipped import shipped_versions
from models import tensors
from models.base import Features, Trained, Untrainable
from models.datasets import Row, rows
from models.manifest import Manifest, write_version
from models.nn.ctc_feedback import LeftOut
from models.nn.onnx_inference import judge
from models.ocr import Ocr
from models.ocr.runtime import HEAD, RECOGNIZER
from models.ocr.samples import shipped
from models.ocr.training.feedback import corrected_lines, sure_lines, whole_picture
from models.ocr.training.rehearsal import printed_lines, scanned_lines
from models.ocr.training.trainer import OcrAdapter, Sizes
from models.runtimes import open_version
from tests.support.datasets import write_dataset

TASK = Ocr()
SAMPLES = [sample for sample in shipped() if sample.name.startswith("printed")][:6]
PARENT = shipped_versions(TASK)["1"]
SIZES = Sizes(printed=8, scanned=2, logged=4, held_out=0)


def line(text: str, height: int, place: int = 0) -> dict[str, Any]:
    top = 40 * place
    polygon = [[0, top], [200, top], [200, top + height], [0, top + height]]
    return {"text": text, "polygon": polygon, "confidence": 0.5 + 0.4 * place, "page": 0}


def row(lines: list[dict[str, Any]], height: int = 100, **more: Any) -> Row:
    page = np.random.default_rng(0).integers(0, 255, (height, 200)).astype(np.uint8)
    features: Features = {
        "pixels": page.ravel(),
        "sizes": np.array([page.shape], np.int32),
        "displayed": np.array([page.shape], np.float32),
        "pages": np.array(1, np.int32),
    }
    output = {"text": "\n".join(one["text"] for one in lines), "lines": lines}
    return Row(features, "train", output, 1.0, None, None, "", "1", **more)


TWO = row([line("one", 30), line("two", 30, 1)])


@pytest.mark.parametrize(
    ("label", "texts"),
    [
        ({"text": "first\nsecond"}, ["first", "second"]),
        ({"text": "", "lines": [{"text": "first"}, {"text": "second"}]}, ["first", "second"]),
        ({"text": "second", "lines": [{"line": 1, "text": " a  second "}]}, ["a second"]),
    ],
)
def test_a_correction_says_which_lines_have_which_texts(label: dict[str, Any], texts: list[str]) -> None:
    lines = corrected_lines(TWO, label)
    assert [one.text for one in lines] == texts
    assert all(one.picture.shape[0] == 48 and one.picture.dtype == np.uint8 for one in lines)


@pytest.mark.parametrize("label", [{"text": "one\ntwo\nthree"}, {"text": "", "lines": [{"line": 2, "text": "x"}]}])
def test_a_correction_of_other_lines_than_were_found_is_left_out(label: dict[str, Any]) -> None:
    with pytest.raises(LeftOut, match="other lines than were found"):
        corrected_lines(TWO, label)


def test_a_picture_in_which_nothing_was_found_is_one_line_unless_it_is_as_high_as_a_page() -> None:
    [found] = corrected_lines(row([]), {"text": "missed"})
    np.testing.assert_array_equal(found.picture, whole_picture(row([]).features))
    with pytest.raises(LeftOut):
        corrected_lines(row([], 400), {"text": "missed"})


def test_lines_of_which_the_network_is_sure_are_rehearsed() -> None:
    assert [one.text for one in sure_lines(TWO, 0.8)] == ["two"]


def test_made_lines_repeat_by_seed_and_differ() -> None:
    for make in (printed_lines, scanned_lines):
        first, again = list(make(6, 3)), list(make(6, 3))
        assert [one.text for one in first] == [one.text for one in again]
        np.testing.assert_array_equal(first[2].picture, again[2].picture)
        assert len({one.text for one in first}) == 6


def dataset_rows() -> Iterator[dict[str, Any]]:
    judged = judge(open_version(PARENT), TASK, SAMPLES)
    for number, one in enumerate(judged):
        data, declaration = tensors.encode(TASK.preprocess(one.sample.payload))
        yield {
            "prediction_id": str(number),
            "features": data,
            "tensors": declaration,
            "output": json.dumps(one.decoded.output),
            "label": json.dumps(one.sample.correction),
            "split": "validation" if number == 0 else "train",
            "propensity": 1.0,
        }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    dataset = write_dataset(tmp_path_factory.mktemp("log"), list(dataset_rows()), "abc")
    assert len(list(rows(dataset))) == len(SAMPLES)
    return OcrAdapter(TASK, sizes=SIZES).train(dataset, PARENT, 3, lambda *_: None)


def test_only_the_recogniser_is_in_new_files_and_the_manifest_keeps_the_rest(trained: Trained) -> None:
    before, after = Manifest.parse(PARENT.read_bytes()), Manifest.parse(trained.model)
    assert set(trained.files) == {HEAD, RECOGNIZER}
    assert set(after.files) == {*before.files, HEAD}
    assert {name for name, file in before.files.items() if after.files[name] == file} == {*before.files} - {RECOGNIZER}
    assert after.options == before.options


def test_the_new_version_reads_as_the_head_says(trained: Trained, tmp_path: Path) -> None:
    version = write_version(tmp_path / "2", trained.model, trained.files, PARENT)
    for one in judge(open_version(version), TASK, SAMPLES[:2]):
        assert TASK.score(one.decoded.output, one.sample.correction) > 0.9


def test_the_card_says_what_was_learned_from(trained: Trained) -> None:
    card = json.loads(json.dumps(trained.card))
    assert (card["dataset"], card["seed"]) == ("abc", 3)
    assert card["feedback"]["train corrections"] == len(SAMPLES) - 1


def test_it_starts_from_a_version_of_ocr_and_a_dataset(tmp_path: Path) -> None:
    for dataset, parent in ((None, None), (tmp_path, None), (None, PARENT)):
        with pytest.raises(Untrainable, match="from a parent on a dataset"):
            OcrAdapter(TASK).train(dataset, parent, 0, lambda *_: None)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(Untrainable, match="can't be read as a version of `ocr`"):
        OcrAdapter(TASK).train(tmp_path, tmp_path / "manifest.json", 0, lambda *_: None)
