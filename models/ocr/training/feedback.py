"""From the log's files to lines with their true texts: the pictures of the lines that a correction names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.base import Features
from models.datasets import Row
from models.nn.ctc_feedback import LeftOut
from models.ocr import crops, rectangles
from models.ocr.strips import MAX_LINE_HEIGHT


class LinePicture(NamedTuple):
    """A line of a file: its picture, uint8 (48, width), and its text."""

    picture: NDArray[np.uint8]
    text: str


def corrected_lines(row: Row, label: Mapping[str, Any]) -> list[LinePicture]:
    """Return the lines whose texts a correction gives. Raises `LeftOut` if it can't be said which lines they are.

    A correction names lines by their numbers; or it gives all lines, or a text with as many lines as were found.
    """
    found = row.output.get("lines", [])
    given = label.get("lines") or [{"text": text} for text in label["text"].split("\n") if text]
    named = [line for line in given if "line" in line]
    if not named and not found and len(given) == 1:
        return [LinePicture(_only_line(row), given[0]["text"])]
    if not named and len(given) != len(found):
        raise LeftOut("other lines than were found")
    numbered = [(line["line"], line["text"]) for line in named] or [
        (place, line["text"]) for place, line in enumerate(given)
    ]
    if any(place >= len(found) for place, _ in numbered):
        raise LeftOut("other lines than were found")
    return [LinePicture(_picture(row, found[place]), " ".join(text.split())) for place, text in numbered]


def sure_lines(row: Row, least_confidence: float) -> Iterator[LinePicture]:
    """Yield the lines of which the network was so sure."""
    for line in row.output.get("lines", []):
        if line["confidence"] >= least_confidence:
            yield LinePicture(_picture(row, line), line["text"])


def only_line(row: Row) -> NDArray[np.uint8]:
    """Return the picture of a file's only line. Raises `LeftOut` if it has several."""
    found = row.output.get("lines", [])
    if len(found) > 1:
        raise LeftOut("several lines")
    return _picture(row, found[0]) if found else _only_line(row)


def _only_line(row: Row) -> NDArray[np.uint8]:
    """Return the whole picture, of which no line was found."""
    if len(row.features["sizes"]) > 1 or row.features["sizes"][0, 0] > MAX_LINE_HEIGHT:
        raise LeftOut("other lines than were found")
    return whole_picture(row.features)


def whole_picture(features: Features) -> NDArray[np.uint8]:
    """Return the first page as one line, uint8 (48, width)."""
    return as_line(_pages(features)[0])


def as_line(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a page as one line, uint8 (48, width)."""
    height, width = page.shape
    return _crop(page, rectangles.level(0, 0, width, height))


def _picture(row: Row, line: Mapping[str, Any]) -> NDArray[np.uint8]:
    page = line["page"]
    scale = (row.features["sizes"][page] / row.features["displayed"][page])[::-1]
    return _crop(_pages(row.features)[page], np.array(line["polygon"], np.float64) * scale)


def _crop(page: NDArray[np.uint8], rectangle: NDArray[np.float64]) -> NDArray[np.uint8]:
    return crops.crop(Image.fromarray(page), rectangle, crops.paper_level(page))


def _pages(features: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[np.uint8]]:
    """Return the grey levels of each page, (height, width)."""
    sizes = [tuple(size) for size in features["sizes"].tolist()]
    ends = np.cumsum([height * width for height, width in sizes])
    parts = np.split(features["pixels"], ends)[: len(sizes)]
    return [part.reshape(size) for part, size in zip(parts, sizes, strict=True)]
