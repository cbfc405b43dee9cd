"""The small `object_detection` task: from a picture to the drawn objects in it. Needs only numpy and Pillow."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, ClassVar

from numpy.typing import NDArray

from models.base import Features, Sample
from models.object_detection.candidates import Candidates
from models.object_detection.detection_task import DetectionTask
from models.small.object_detection.data.scenes import held_out_scenes
from models.small.object_detection.decoding import candidates
from models.small.object_detection.images import SAMPLES, Geometry, features_of, has_content
from models.small.object_detection.labels import LABELS

HELD_OUT_SCENES, HELD_OUT_SEED = 300, 2_000


class ObjectDetection(DetectionTask):
    """Finds balls, books, bottles, keys, mugs, signs and stars in a picture.

    Features: `image` uint8 (128, 128, 3), the picture as large as fits, and `geometry` int32 (6,), where it lies there
    (see `models.small.object_detection.images.Geometry`), which only `decode` needs. The model's input is `image` with
    a batch dimension in front; its outputs are those of `models.small.object_detection.training.onnx_export.to_onnx`.
    """

    name: ClassVar[str] = "object_detection"
    preprocess_version: ClassVar[str] = "1"
    trainer: ClassVar[str | None] = "models.small.object_detection.train:train"

    def preprocess(self, payload: bytes) -> Features:
        """Return the picture in a small square, and where it lies there. Raises `Rejected`."""
        return features_of(payload)

    def inputs(self, features: Features) -> Features:
        """Return the square alone."""
        return {"image": features["image"]}

    def candidates(self, outputs: Mapping[str, NDArray[Any]], features: Sequence[Features]) -> list[Candidates]:
        """Return what may be an object in each picture of a batch, in the picture's pixels."""
        found = candidates(outputs["scores"], outputs["distances"])
        return [
            scene.placed(Geometry.from_array(of_scene["geometry"]))
            for scene, of_scene in zip(found, features, strict=True)
        ]

    def has_content(self, features: Features) -> bool:
        """Return whether the picture has any contrast."""
        return has_content(features)

    def samples(self) -> Sequence[Sample]:
        """Return real files: scenes on the held-out photographs, as PNG and JPEG, one of them turned by EXIF."""
        return _shipped()

    def labels(self) -> Sequence[str]:
        """Return the classes of the detector."""
        return LABELS

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Return endless new scenes on the held-out photographs."""
        return held_out_scenes(seed)

    def held_out(self) -> Iterator[Sample]:
        """Return 300 scenes of photographs and objects that no training ever sees."""
        return islice(held_out_scenes(HELD_OUT_SEED), HELD_OUT_SCENES)


@cache
def _shipped() -> tuple[Sample, ...]:
    entries = json.loads((SAMPLES / "samples.json").read_text())
    return tuple(
        Sample(entry["name"], (SAMPLES / entry["name"]).read_bytes(), entry["content_type"], {"boxes": entry["boxes"]})
        for entry in entries
    )
