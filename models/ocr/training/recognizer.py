"""The recogniser of a version in two parts: the body, which stays, and the head, which learns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from models.adapters.cutting import cut
from models.adapters.linear_layer import Floats, LinearLayer, read_layer, with_layer
from models.base import Untrainable
from models.manifest import VersionFiles, listed
from models.nn.ctc import best_path
from models.ocr.recognition import Recognizer
from models.ocr.runtime import HEAD, RECOGNIZER
from models.runtimes import Execution

_TOGETHER = 64
"""Lines that are read at a time."""


@dataclass(frozen=True)
class CutRecognizer:
    """The parts of a version's recogniser, and its other files."""

    files: VersionFiles
    body: onnx.ModelProto
    head: onnx.ModelProto

    @classmethod
    def of(cls, version: Path) -> "CutRecognizer":
        """Open the version at a `manifest.json`, and cut its recogniser, if that is whole. Raises `Untrainable`."""
        try:
            files = VersionFiles.of(version)
            whole = onnx.load(files.path(RECOGNIZER))
            parts = (whole, onnx.load(files.path(HEAD))) if HEAD in files.manifest.files else cut(whole)
            return cls(files, *parts)
        except Exception as error:  # a file's damage shows in many ways
            raise Untrainable(f"{version} can't be read as a version of `ocr`: {error}") from error

    @cached_property
    def layer(self) -> LinearLayer:
        """Return the head's weights."""
        return read_layer(self.head)

    @cached_property
    def classes(self) -> Mapping[str, int]:
        """Return the class of each symbol."""
        return {chr(point): place for place, point in reversed(list(enumerate(self._network.code_points.tolist())))}

    def encode(self, text: str) -> list[int]:
        """Return the classes of a text's symbols. Raises `KeyError` for a symbol that isn't known."""
        return [self.classes[symbol] for symbol in text]

    def decode(self, classes: Sequence[int]) -> str:
        """Return the text of such classes."""
        return "".join(chr(self._network.code_points[one]) for one in classes)

    def features(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Floats]:
        """Return the body's features of lines, uint8 (48, width): (frames, features) each."""
        starts = range(0, len(pictures) + _TOGETHER, _TOGETHER)
        return [line for start, end in pairwise(starts) for line in self._network.outputs(pictures[start:end])]

    def texts(self, features: Sequence[Floats], layer: LinearLayer) -> list[str]:
        """Return what a head reads in lines' features, by the best path."""
        paths = [best_path(layer.scores(line)[None], np.array([len(line)]))[0] for line in features]
        return [self.decode(path) for path in paths]

    def changed(self, layer: LinearLayer) -> tuple[bytes, dict[str, bytes]]:
        """Return the manifest of the version with another head, and the files that its parent does not have."""
        files = {HEAD: bytes(with_layer(self.head, layer).SerializeToString())}
        if HEAD not in self.files.manifest.files:
            files[RECOGNIZER] = bytes(self.body.SerializeToString())
        manifest = self.files.manifest.model_copy(update={"files": {**self.files.manifest.files, **listed(files)}})
        return manifest.content(), files

    @cached_property
    def _network(self) -> Recognizer:
        return Recognizer(Execution().open(self.body.SerializeToString()))
