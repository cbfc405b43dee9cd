"""The `object_detection` task: from a photograph to the everyday objects in it. Needs only numpy and Pillow."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, Features, Sample, Shapes
from models.object_detection.cells import STEP, candidates
from models.object_detection.detection_task import DetectionTask
from models.object_detection.labels import LABELS
from models.object_detection.pictures import features_of, has_content, scale_of

_SAMPLES = Path(__file__).parent / "samples"


class ObjectDetection(DetectionTask):
    """Finds people, animals, vehicles, food, furniture and other things, the 80 classes of COCO, in a photograph.

    Features: `image` uint8 (height, width, 3), the picture with 416 pixels on its longer side, and `size` int32 (2,),
    the width and height of the picture as it is displayed, which only `decode` needs. The model's input is `image` with
    a batch dimension in front, padded with black to multiples of 32; its outputs are those of `cells`.
    """

    name: ClassVar[str] = "object_detection"
    preprocess_version: ClassVar[str] = "2"

    def preprocess(self, payload: bytes) -> Features:
        """Return the small picture, and the size of the whole. Raises `Rejected`."""
        return features_of(payload)

    def inputs(self, features: Features) -> Features:
        """Return the small picture alone."""
        return {"image": features["image"]}

    def padded(self, shapes: Shapes) -> Shapes:
        """Return height and width rounded up to what the network can take."""
        height, width, colours = shapes["image"]
        return {"image": (-(-height // STEP) * STEP, -(-width // STEP) * STEP, colours)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the objects of each picture, best first; or drawn ones, with the exact propensity."""
        return [
            self._decoded({name: values[place] for name, values in outputs.items()}, event)
            for place, event in enumerate(asked)
        ]

    def _decoded(self, outputs: Mapping[str, NDArray[Any]], event: Asked) -> Decoded:
        height, width, _ = self.padded({"image": event.features["image"].shape})["image"]
        found = candidates(outputs["cells"], outputs["scores"], outputs["distances"], height, width)
        placed = found.placed(scale_of(event.features))
        return self.chosen(placed, event, outputs["certainty"], has_content(event.features))

    def samples(self) -> Sequence[Sample]:
        """Return a few photographs with their objects."""
        return _photographs()[:6]

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Yield the photographs over and over, in a random order."""
        rng = np.random.default_rng(seed)
        while True:
            yield _photographs()[rng.integers(len(_photographs()))]

    def held_out(self) -> Iterator[Sample]:
        """Yield all 13 photographs that ship, which is few: the version's card has figures on more."""
        return iter(_photographs())

    def labels(self) -> Sequence[str]:
        """Return the classes of the detector."""
        return LABELS


@cache
def _photographs() -> tuple[Sample, ...]:
    entries = json.loads((_SAMPLES / "samples.json").read_text())
    return tuple(
        Sample(entry["name"], (_SAMPLES / entry["name"]).read_bytes(), entry["content_type"], {"boxes": entry["boxes"]})
        for entry in entries
    )
