from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.ocr.detection import find_lines
from models.ocr.rectangles import size


def probabilities(*cores: tuple[float, float, float, float], angle: float = 0.0, level: float = 0.9) -> NDArray[Any]:
    image = Image.new("F", (300, 200))
    for core in cores:
        ImageDraw.Draw(image).rectangle(core, fill=level)
    return np.asarray(image.rotate(angle, Image.Resampling.BILINEAR))


def test_each_core_becomes_a_line_that_reaches_beyond_it() -> None:
    lines = find_lines(probabilities((50, 40, 149, 49), (50, 90, 99, 99)))
    assert len(lines) == 2
    left, top = lines[0][0]
    right, bottom = lines[0][2]
    assert left < 45 and top < 35 and right > 155 and bottom > 55
    assert size(lines[0])[1] == pytest.approx(10 + 1.6 * 100 * 10 / 110)


def test_improbable_and_tiny_cores_are_no_lines() -> None:
    assert find_lines(probabilities((50, 40, 149, 49), level=0.4)) == []
    assert find_lines(probabilities((50, 40, 51, 41))) == []


def test_an_inclined_core_becomes_an_inclined_rectangle() -> None:
    [line] = find_lines(probabilities((50, 95, 249, 104), angle=10))
    along = line[1] - line[0]
    assert np.degrees(np.arctan2(along[1], along[0])) == pytest.approx(-10, abs=1)


def test_a_high_line_is_read_from_its_bottom() -> None:
    [line] = find_lines(probabilities((100, 20, 109, 179)))
    assert line[0][1] > line[1][1]
