"""Which pictures a correction of another one may answer: copies, and none that shows anything else."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.object_detection.task import ObjectDetection
from models.ocr.task import Ocr

Key = NDArray[np.uint8] | None


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def line(text: str) -> Image.Image:
    image = Image.new("L", (400, 40), 230)
    ImageDraw.Draw(image).text((10, 5), text, 40, ImageFont.load_default(24))
    return image


def key_of_line(payload: bytes, text: str = "Total 1,208.30", lines: int = 1, height: int = 40) -> Key:
    polygon = [[0, 0], [400, 0], [400, height], [0, height]]
    return Ocr().near_key(Ocr().preprocess(payload), {"lines": [{"text": text, "polygon": polygon}] * lines})


def key_of_photograph(image: Image.Image, kind: str = "PNG", **options: Any) -> Key:
    task = ObjectDetection()
    return task.near_key(task.preprocess(encoded(image, kind, **options)), {})


def distance(one: Key, other: Key) -> int:
    assert one is not None
    assert other is not None
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    [sample] = [sample for sample in ObjectDetection().samples() if sample.name == "cat.jpg"]
    return Image.open(io.BytesIO(sample.payload)).convert("RGB")


def test_a_line_encoded_otherwise_is_near_and_another_symbol_is_not() -> None:
    image, other = line("Total 1,208.30"), line("Total 1,203.30")
    key = key_of_line(encoded(image))
    assert distance(key, key_of_line(encoded(image, "JPEG", quality=75))) <= Ocr.near_bound
    assert distance(key, key_of_line(encoded(image.resize((412, 41), Image.Resampling.BICUBIC)))) <= Ocr.near_bound
    assert distance(key, key_of_line(encoded(other))) > 2 * Ocr.near_bound


def test_what_is_not_one_large_enough_line_has_no_key() -> None:
    payload = encoded(line("Total 1,208.30"))
    assert key_of_line(payload) is not None
    assert key_of_line(payload, lines=2) is None
    assert key_of_line(payload, lines=0) is None
    assert key_of_line(payload, height=19) is None
    assert key_of_line(payload, text="x" * 60) is None
    assert key_of_line(encoded(line("Total").resize((4000, 40)))) is None


def test_several_pages_have_no_key() -> None:
    pages = encoded(line("Total"), "TIFF", save_all=True, append_images=[line("Total")])
    assert key_of_line(pages) is None


def test_a_photograph_encoded_otherwise_is_near(photograph: Image.Image) -> None:
    key = key_of_photograph(photograph)
    assert distance(key, key_of_photograph(photograph, "JPEG", quality=75)) <= ObjectDetection.near_bound
    assert distance(key, key_of_photograph(photograph, "WEBP", quality=80)) <= ObjectDetection.near_bound


def test_a_photograph_of_another_size_or_with_another_object_is_not_near(photograph: Image.Image) -> None:
    key, (width, height) = key_of_photograph(photograph), photograph.size
    assert distance(key, key_of_photograph(photograph.resize((width + 1, height)))) > ObjectDetection.near_bound
    changed = photograph.copy()
    ImageDraw.Draw(changed).ellipse((20, 20, 20 + width // 20, 20 + width // 20), "red")
    assert distance(key, key_of_photograph(changed)) > ObjectDetection.near_bound
