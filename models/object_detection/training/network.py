"""A version's detector in two parts: the body, which stays, and the last layers, which learn.

On each of six levels of the picture, one coarser than the other, two last layers (convolutions of size 1) say what is
at the anchors of a cell, and where its edges are. What they take are the cell's features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from models.adapters.linear_layer import Floats, LinearLayer
from models.adapters.replaced_weights import merged
from models.base import Untrainable
from models.manifest import VersionFiles
from models.nn.onnx_graph import stored_arrays
from models.object_detection.anchors import CLASSES
from models.object_detection.conversion.ssdlite import CENTRE_STEP, PREDICTORS, SIZE_STEP, UNUSED_IDS
from models.runtimes import Execution

TOGETHER = 16
"""Pictures of which the body computes the features at a time: 45 MB."""
_IDS = np.setdiff1d(np.arange(CLASSES + len(UNUSED_IDS)), UNUSED_IDS)
_ENDS = ("ClassPredictor", "BoxEncodingPredictor")


class Level(NamedTuple):
    """The last layers of a level. `classes` scores each anchor of a cell for the 80 classes, `edges` has 4 numbers."""

    classes: LinearLayer
    edges: LinearLayer

    @property
    def anchors(self) -> int:
        """Return how many anchors a cell has."""
        return len(self.edges.bias) // 4


class LevelFeatures(NamedTuple):
    """What the last layers of a level take: features of cells, float16 (pictures, cells, features) each."""

    classes: NDArray[np.float16]
    edges: NDArray[np.float16]


@dataclass(frozen=True)
class Anchors:
    """The boxes that objects are found from, (anchors, 2) each, down before across, as shares of the picture."""

    centres: Floats
    halves: Floats

    def corners(self) -> Floats:
        """Return left, top, right and bottom, (anchors, 4)."""
        ends = np.concatenate((self.centres - self.halves, self.centres + self.halves), axis=1)
        return np.asarray(ends[:, [1, 0, 3, 2]])

    def encoded(self, boxes: Floats) -> Floats:
        """Return the numbers by which the network puts each anchor's box (anchors, 4) where it is (SSD, equation 2)."""
        low, high = boxes[:, 1::-1], boxes[:, :1:-1]
        moved = ((low + high) / 2 - self.centres) / (2 * self.halves * CENTRE_STEP)
        grown = np.log(np.maximum((high - low) / 2, 1e-4) / self.halves) / SIZE_STEP
        return np.concatenate((moved, grown), axis=1, dtype=np.float32)


@dataclass(frozen=True)
class CutDetector:
    """A version's files, and its model with all that it has learned."""

    files: VersionFiles
    model: onnx.ModelProto

    @classmethod
    def of(cls, version: Path) -> "CutDetector":
        """Open the version at a `manifest.json`. Raises `Untrainable`."""
        try:
            files = VersionFiles.of(version)
            detector = cls(files, merged(files))
            _ = detector.levels, detector.anchors, detector.slope, detector._body
        except Exception as error:  # a file's damage shows in many ways
            raise Untrainable(f"{version} can't be read as a version of `object_detection`: {error}") from error
        return detector

    @cached_property
    def levels(self) -> list[Level]:
        """Return the last layers, those of the finest level first."""
        return [Level(*(self._layer(level, end) for end in _ENDS)) for level in range(PREDICTORS)]

    @cached_property
    def anchors(self) -> Anchors:
        """Return all levels' anchors, in the order of the levels, their cells, and a cell's anchors."""
        centres, halves = (self._arrays[f"anchor_{name}"].reshape(-1, 2) for name in ("centres", "halves"))
        return Anchors(centres, halves)

    @cached_property
    def slope(self) -> float:
        """Return by what a logit is multiplied to be that of a probability."""
        return float(self._arrays["slope"])

    def features(self, squares: Sequence[NDArray[np.uint8]]) -> Iterator[list[LevelFeatures]]:
        """Yield the features of the levels, of `TOGETHER` pictures at a time, uint8 (300, 300, 3) each."""
        for start in range(0, len(squares), TOGETHER):
            outputs = self._body.run(
                None, {self.model.graph.input[0].name: np.stack(squares[start : start + TOGETHER])}
            )
            cells = [np.moveaxis(one.reshape(*one.shape[:2], -1), 1, 2).astype(np.float16) for one in outputs]
            yield [LevelFeatures(*pair) for pair in zip(cells[::2], cells[1::2], strict=True)]

    def weights(self, levels: Sequence[Level]) -> dict[str, NDArray[Any]]:
        """Return other last layers as the model's weights, by name."""
        weights = {}
        for number, level in enumerate(levels):
            for end, layer in zip(_ENDS, level, strict=True):
                for kind, values in (("weights", layer.weights.T), ("biases", layer.bias)):
                    name = f"BoxPredictor_{number}/{end}/{kind}"
                    weights[name] = _with_rows(self._arrays[name], end, values)
        return weights

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return stored_arrays(self.model)

    def _layer(self, level: int, end: str) -> LinearLayer:
        weights, bias = (
            _rows(self._arrays[f"BoxPredictor_{level}/{end}/{name}"], end) for name in ("weights", "biases")
        )
        return LinearLayer(weights.reshape(bias.size, -1).T.astype(np.float32), bias.reshape(-1).astype(np.float32))

    @cached_property
    def _body(self) -> Any:
        taken = {node.input[1]: node.input[0] for node in self.model.graph.node if node.op_type == "Conv"}
        outputs = [taken[f"BoxPredictor_{level}/{end}/weights"] for level in range(PREDICTORS) for end in _ENDS]
        extractor = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(self.model))
        inputs = [value.name for value in self.model.graph.input]
        return Execution().open(extractor.extract_model(inputs, outputs).SerializeToString())


def _rows(stored: NDArray[Any], end: str) -> NDArray[Any]:
    """Return the rows of a layer's weights or biases that count: of the classes, those that COCO has."""
    if end == _ENDS[1]:
        return stored
    return stored.reshape(-1, CLASSES + len(UNUSED_IDS), *stored.shape[1:])[:, _IDS]


def _with_rows(stored: NDArray[Any], end: str, values: Floats) -> NDArray[Any]:
    """Return stored weights or biases with other values in these rows."""
    if end == _ENDS[1]:
        return values.reshape(stored.shape)
    changed = stored.reshape(-1, CLASSES + len(UNUSED_IDS), *stored.shape[1:]).copy()
    changed[:, _IDS] = values.reshape(len(changed), CLASSES, *stored.shape[1:])
    return changed.reshape(stored.shape)
