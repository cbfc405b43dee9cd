"""The runtime of `ocr`: finds the lines of pages, cuts them out and reads them, those of all pages of a call together.

A version is `detector.onnx`, `recognizer.onnx` and, where the recogniser is in two parts, `recognizer_head.onnx`, which
takes what `recognizer.onnx` returns. The manifest's option `space_weight` is described at `Recognizer`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.manifest import VersionFiles
from models.ocr import crops, rectangles
from models.ocr.detection import Detector
from models.ocr.recognition import ALTERNATIVES, Reading, Recognizer
from models.ocr.strips import places_of_lines
from models.runtimes import Execution, Runtime, TensorSpec
from models.runtimes.base import Tensors

DETECTOR, RECOGNIZER, HEAD = "detector.onnx", "recognizer.onnx", "recognizer_head.onnx"
UNSURE = 0.9
"""Lines read with less certainty may stand on their heads. That the recogniser is surer of the right way up tells more
than PP-OCR's classifier of orientation, as measured: it misses 3 % of lines instead of 22 %."""
_UINT8, _INT32, _FLOAT32 = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.float32)
INPUTS: Mapping[str, TensorSpec] = {
    "pixels": TensorSpec(_UINT8, (None, None)),
    "sizes": TensorSpec(_INT32, (None, None, 2)),
}
OUTPUTS: Mapping[str, TensorSpec] = {
    "polygons": TensorSpec(_FLOAT32, (None, None, 4, 2)),
    "pages": TensorSpec(_INT32, (None, None)),
    "frames": TensorSpec(_INT32, (None, None)),
    "symbols": TensorSpec(_INT32, (None, None, None, ALTERNATIVES)),
    "probabilities": TensorSpec(_FLOAT32, (None, None, None, ALTERNATIVES)),
}


class Line(NamedTuple):
    """A line of a page: of which event and page, where, and its picture, uint8 (48, width)."""

    event: int
    page: int
    rectangle: NDArray[np.float64]
    picture: NDArray[np.uint8]
    others: tuple["Line", ...] = ()
    """The same line cut out otherwise."""

    def turned(self) -> "Line":
        """Return the line read from its other end."""
        return self._replace(rectangle=rectangles.turned(self.rectangle), picture=crops.turned(self.picture))


class PageReader(Runtime):
    """Reads pages.

    Inputs: `pixels` uint8 (batch, pixels), the pages' grey levels one after the other, and `sizes` int32 (batch, pages,
    2), the height and width of each page, 0 where there is none. Outputs, zero where there is no line: `polygons`
    float32 (batch, lines, 4, 2) in pixels, `pages` int32 (batch, lines), `frames` int32 (batch, lines), and of each
    frame the code points of the most probable symbols, `symbols` int32 (batch, lines, frames, alternatives), 0 for
    none, with their `probabilities` float32.
    """

    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        """Open the networks. Raises `KeyError` if the manifest lacks one."""
        self.inputs, self.outputs = INPUTS, OUTPUTS
        head = execution.open(files.path(HEAD)) if HEAD in files.manifest.files else None
        self._detector = Detector(execution.open(files.path(DETECTOR)))
        self._recognizer = Recognizer(
            execution.open(files.path(RECOGNIZER)), head, float(str(files.manifest.options.get("space_weight", 1.0)))
        )

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Return the lines of each event's pages. Raises `ValueError` for sizes that don't fit the pixels."""
        lines = [
            line
            for event, number, page in _pages(feeds["pixels"], feeds["sizes"])
            for line in self._cut(event, number, page)
        ]
        readings = self._recognizer.read([line.picture for line in lines])
        self._read_again(lines, readings)
        return _outputs(len(feeds["pixels"]), lines, readings)

    def _cut(self, event: int, number: int, page: NDArray[np.uint8]) -> Iterator[Line]:
        """Yield the lines of a page."""
        image, paper = Image.fromarray(page), crops.paper_level(page)
        for places in places_of_lines(page, self._detector.find):
            first, *others = (Line(event, number, place, crops.crop(image, place, paper)) for place in places)
            yield first._replace(others=tuple(others))

    def _read_again(self, lines: list[Line], readings: list[Reading]) -> None:
        """Read unsure lines from the other end too, for they may stand on their heads, and cut out otherwise.

        The surest reading of each stays.
        """
        unsure = [place for place, reading in enumerate(readings) if reading.certainty() < UNSURE]
        again = [(place, line) for place in unsure for line in (lines[place].turned(), *lines[place].others)]
        read = self._recognizer.read([line.picture for _, line in again])
        for (place, line), reading in zip(again, read, strict=True):
            if reading.certainty() > readings[place].certainty():
                lines[place], readings[place] = line, reading


def _pages(pixels: NDArray[Any], sizes: NDArray[Any]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Yield event, number and grey levels of each page."""
    for event in range(len(pixels)):
        start = 0
        for number, (height, width) in enumerate(sizes[event].tolist()):
            end = start + height * width
            if min(height, width) < 0 or end > pixels.shape[1]:
                raise ValueError(f"pages of {sizes[event].tolist()} pixels do not fit into {pixels.shape[1]:,} pixels")
            if end > start:
                yield event, number, np.asarray(pixels[event, start:end], np.uint8).reshape(height, width)
            start = end


def _outputs(events: int, lines: Sequence[Line], readings: Sequence[Reading]) -> dict[str, NDArray[Any]]:
    places = [0] * events
    most = max(np.bincount([line.event for line in lines], minlength=1)) if lines else 0
    longest = max((len(reading.symbols) for reading in readings), default=0)
    outputs = {
        name: np.zeros((events, most, *tail), spec.dtype)
        for (name, spec), tail in zip(OUTPUTS.items(), ((4, 2), (), (), *[(longest, ALTERNATIVES)] * 2), strict=True)
    }
    for line, reading in zip(lines, readings, strict=True):
        at, frames = (line.event, places[line.event]), len(reading.symbols)
        places[line.event] += 1
        outputs["polygons"][at], outputs["pages"][at], outputs["frames"][at] = line.rectangle, line.page, frames
        outputs["symbols"][at][:frames], outputs["probabilities"][at][:frames] = reading
    return outputs
