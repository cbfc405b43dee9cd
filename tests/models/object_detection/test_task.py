"""The task's contract: what it imports, what it decodes, and how it explores."""

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

from models.base import Asked
from models.object_detection import ObjectDetection
from models.object_detection.anchors import CLASSES, KEPT_ANCHORS
from models.object_detection.labels import LABELS

TASK = ObjectDetection()


def test_serving_needs_none_of_the_training_libraries() -> None:
    heavy = "{'jax', 'optax', 'onnx', 'sklearn', 'matplotlib', 'pandas', 'scipy', 'pycocotools', 'app'}"
    code = (
        "import sys; from models.object_detection import ObjectDetection; task = ObjectDetection();"
        "task.preprocess(task.samples()[0].payload); next(task.demonstration(0)); next(task.held_out());"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_there_are_the_80_classes_of_coco() -> None:
    assert len(set(LABELS)) == len(LABELS) == CLASSES
    assert (LABELS[0], LABELS[9], LABELS[-1]) == ("person", "traffic light", "toothbrush")


def outputs(batch: int) -> dict[str, Any]:
    """An output that names nothing."""
    return {
        "anchors": np.tile(np.arange(KEPT_ANCHORS), (batch, 1)),
        "scores": np.full((batch, KEPT_ANCHORS, CLASSES), 0.001, np.float32),
        "boxes": np.tile(np.array([0.4, 0.4, 0.6, 0.6], np.float32), (batch, KEPT_ANCHORS, 1)),
        "certainty": np.tile(np.array([2.0, 1.0, 1.0], np.float32), (batch, 1)),
    }


def asked(width: int, height: int, name: str = "a", contrast: bool = True) -> Asked:
    image = np.zeros((300, 300, 3), np.uint8)
    image[:150] = 200 * contrast
    return Asked(name, {"image": image, "size": np.array([width, height], np.int32)})


def test_a_box_comes_out_in_the_pixels_of_its_own_picture() -> None:
    said = outputs(2)
    said["scores"][1, 3, LABELS.index("cat")], said["boxes"][1, 3] = 0.9, (0.25, 0.5, 0.75, 1.1)
    nothing, found = TASK.decode(said, [asked(10, 10), asked(640, 480, "b")])
    assert nothing.output == {"boxes": []}
    assert found.output == {"boxes": [{"box": [160.0, 240.0, 480.0, 480.0], "label": "cat", "score": 0.9}]}
    assert found.propensity == nothing.propensity == 1.0
    assert 0 < found.confidence < nothing.confidence < 1
    assert TASK.classes(found.output) == ["cat"]


def test_nothing_in_a_picture_without_content_is_said_with_little_confidence() -> None:
    (unsure,) = TASK.decode(outputs(1), [asked(300, 200, contrast=False)])
    (sure,) = TASK.decode(outputs(1), [asked(300, 200)])
    assert unsure.confidence <= 0.1 < sure.confidence


def unsure(batch: int) -> dict[str, Any]:
    """Two candidates in each picture, one of which may be of two classes."""
    said = outputs(batch)
    said["scores"][:, 0, 0], said["scores"][:, 0, 1] = 0.6, 0.5
    said["scores"][:, 1, 2], said["boxes"][:, 1] = 0.3, (0.0, 0.0, 0.2, 0.2)
    return said


def test_exploring_says_what_is_drawn_and_how_probable_it_was_the_same_for_the_same_prediction() -> None:
    task, count = ObjectDetection(explore=0.5), 600
    events = [asked(200, 200, str(number)) for number in range(count)]
    found = task.decode(unsure(count), events)
    assert found[:20] == [task.decode(unsure(1), [event])[0] for event in events[:20]]
    times = Counter(json.dumps(one.output) for one in found)
    propensities = {json.dumps(one.output): one.propensity for one in found}
    assert len(times) > 4
    for output, propensity in propensities.items():
        spread = np.sqrt(propensity * (1 - propensity) / count)
        assert times[output] / count == pytest.approx(propensity, abs=5 * spread + 1e-3)
