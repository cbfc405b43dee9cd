"""`ocr` obeys the laws of tasks, and reads what it ships with."""

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.inference.predictor import stack_inputs
from app.registry.shipped import shipped_versions
from app.testing import TaskTests
from models.base import Asked, Decoded
from models.datasets import Row
from models.ocr import Ocr
from models.ocr.off_policy import served_probability
from models.ocr.samples import shipped
from models.runtimes import Execution, Runtime, open_version

SAMPLES = {sample.name: sample for sample in shipped()}


class TestOcr(TaskTests):
    task = Ocr()
    rejected_payloads = ((b"%PDF-1.7 nothing", "broken"), (b"", "empty"))
    rejected_corrections = ({}, {"text": 1}, {"lines": [{}]}, {"boxes": []})
    min_sample_score = 0.97
    max_examples = 30


@cache
def reader() -> Runtime:
    return open_version(shipped_versions(Ocr())["1"], Execution(threads=1))


def read(*payloads: bytes) -> list[Decoded]:
    features = [TestOcr.task.preprocess(payload) for payload in payloads]
    outputs = reader().run(stack_inputs(TestOcr.task, features))
    return TestOcr.task.decode(outputs, [Asked("ocr:1", event) for event in features])


def png(pixels: NDArray[Any]) -> bytes:
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def line_image(name: str = "printed-05.jpg") -> NDArray[Any]:
    return np.asarray(Image.open(BytesIO(SAMPLES[name].payload)).convert("L"))


def test_all_pages_are_read_with_places_on_each_page_even_one_that_lies_on_its_side() -> None:
    sample = SAMPLES["receipt.tif"]
    [decoded] = read(sample.payload)
    assert TestOcr.task.score(decoded.output, sample.correction) > 0.97
    lines = {line["text"]: line for line in decoded.output["lines"]}
    assert {line["page"] for line in lines.values()} == {0, 1}
    (x0, y0), (x1, y1), *_ = lines["Rye bread"]["polygon"]
    assert x0 < x1 and abs(y1 - y0) < 5 and 90 < y0 < 110
    (x0, y0), (x1, y1), *_ = lines["Dear neighbours, the street will be"]["polygon"]
    assert y0 > y1 and abs(x1 - x0) < 5


def test_a_line_that_stands_on_its_head_is_turned() -> None:
    upright, turned = read(png(line_image()), png(line_image()[::-1, ::-1].copy()))
    assert turned.output["text"] == upright.output["text"] == SAMPLES["printed-05.jpg"].correction["text"]
    [line] = turned.output["lines"]
    assert line["polygon"][0] == upright.output["lines"][0]["polygon"][2]


def test_light_on_dark_reads_alike() -> None:
    [decoded] = read(png(255 - line_image()))
    assert decoded.output["text"] == SAMPLES["printed-05.jpg"].correction["text"]


@pytest.mark.parametrize("shape", [(1, 1), (10, 400), (400, 3), (300, 300)])
def test_what_shows_nothing_has_no_lines(shape: tuple[int, int]) -> None:
    [decoded] = read(png(np.full(shape, 200, np.uint8)))
    assert decoded.output == {"text": "", "lines": []}
    assert decoded.confidence == 0.1


def test_a_file_is_read_alike_beside_one_with_more_lines() -> None:
    content = BytesIO()
    line = Image.fromarray(line_image())
    line.save(content, "TIFF", save_all=True, append_images=[Image.new("L", (400, 500), 255)])
    alone, (beside, _) = read(content.getvalue()), read(content.getvalue(), SAMPLES["receipt.tif"].payload)
    assert alone == [beside]


def test_a_file_of_more_pages_than_are_read_says_so() -> None:
    content = BytesIO()
    blank = [Image.new("L", (40, 40), 255)] * 12
    blank[0].save(content, "TIFF", save_all=True, append_images=blank[1:])
    [decoded] = read(content.getvalue())
    assert decoded.output["unread_pages"] == 2


def test_an_explored_text_has_the_probability_with_which_it_is_drawn() -> None:
    task = Ocr(explore=1.0)
    features = task.preprocess(SAMPLES["digits-01.png"].payload)
    outputs = reader().run(stack_inputs(task, [features]))
    drawn = [task.decode(outputs, [Asked(f"ocr:{number}", features)])[0] for number in range(200)]
    expected = {decoded.output["text"]: decoded.propensity for decoded in drawn}
    for text, propensity in expected.items():
        share = np.mean([decoded.output["text"] == text for decoded in drawn])
        assert share == pytest.approx(propensity, abs=4 * np.sqrt(propensity * (1 - propensity) / 200) + 0.01)


def test_a_version_that_logged_an_explored_text_values_it_with_its_propensity() -> None:
    task = Ocr(explore=0.5)
    features = task.preprocess(SAMPLES["receipt.tif"].payload)
    outputs = reader().run(stack_inputs(task, [features]))
    for number in range(5):
        [decoded] = task.decode(outputs, [Asked(f"ocr:{number}", features)])
        row = Row(features, "train", decoded.output, decoded.propensity, None, 1.0, "app", f"ocr:{number}")
        event = {name: output[0] for name, output in outputs.items()}
        assert served_probability(event, row, explore=0.5) == pytest.approx(decoded.propensity, rel=1e-4)
