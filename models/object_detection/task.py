"""The `object_detection` task: from a photograph to the everyday objects in it. Needs only numpy and Pillow."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Features, Sample
from models.object_detection import near
from models.object_detection.anchors import candidates
from models.object_detection.candidates import Candidates
from models.object_detection.detection_task import DetectionTask
from models.object_detection.labels import LABELS
from models.object_detection.pictures import Size, features_of, has_content

_SAMPLES = Path(__file__).parent / "samples"


class ObjectDetection(DetectionTask):
    """Finds people, animals, vehicles, food, furniture and other things, the 80 classes of COCO, in a photograph.

    Features: `image` uint8 (300, 300, 3), the picture stretched to a square, and `size` int32 (2,), the width and
    height of the picture as it is displayed, which only `decode` needs. The model's input is `image` with a batch
    dimension in front; its outputs are those of `models.object_detection.anchors`.
    """

    name: ClassVar[str] = "object_detection"
    preprocess_version: ClassVar[str] = "2"
    near_bound: ClassVar[int] = near.BOUND
    trainer: ClassVar[str | None] = "models.object_detection.train:train"

    def preprocess(self, payload: bytes) -> Features:
        """Return the picture in a small square, and its size. Raises `Rejected`."""
        return features_of(payload)

    def inputs(self, features: Features) -> Features:
        """Return the square alone."""
        return {"image": features["image"]}

    def candidates(self, outputs: Mapping[str, NDArray[Any]], features: Sequence[Features]) -> list[Candidates]:
        """Return what may be an object in each picture of a batch, in the picture's pixels."""
        rows = zip(outputs["anchors"], outputs["scores"], outputs["boxes"], features, strict=True)
        return [
            candidates(anchors, scores, boxes).placed(Size(*of_picture["size"].tolist()))
            for anchors, scores, boxes, of_picture in rows
        ]

    def near_key(self, features: Features, output: Mapping[str, Any]) -> NDArray[np.uint8] | None:
        """Return the picture's key."""
        return near.near_key(features)

    def has_content(self, features: Features) -> bool:
        """Return whether the picture has any contrast."""
        return has_content(features)

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
