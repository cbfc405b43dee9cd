"""The task's contract: what it imports, decodes, accepts as a correction and how it scores."""

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Asked, Features
from models.small.object_detection import ObjectDetection
from models.small.object_detection.images import Geometry
from models.small.object_detection.labels import LABELS

TASK = ObjectDetection()
GRID, STRIDE = 16, 8


def test_serving_needs_none_of_the_training_libraries() -> None:
    heavy = "{'jax', 'optax', 'onnx', 'sklearn', 'matplotlib', 'pandas', 'scipy', 'pycocotools', 'app'}"
    code = (
        "import sys; from models.small.object_detection import ObjectDetection; task = ObjectDetection();"
        "task.preprocess(task.samples()[0].payload); next(task.demonstration(0)); next(task.held_out());"
        f"assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def outputs(batch: int) -> dict[str, Any]:
    """Maps that say nothing."""
    return {
        "scores": np.full((batch, GRID, GRID, len(LABELS)), 0.001, np.float32),
        "distances": np.full((batch, GRID, GRID, 4), STRIDE, np.float32),
        "certainty": np.tile(np.array([[2.0, 1.0, 1.0]], np.float32), (batch, 1)),
    }


def asked(width: int, height: int, name: str = "a") -> Asked:
    rows = np.broadcast_to(np.arange(128, dtype=np.uint8)[:, None, None], (128, 128, 3))
    return Asked(name, {"image": rows, "geometry": Geometry.of(width, height).array()})


def test_nothing_in_a_picture_without_content_is_said_with_little_confidence() -> None:
    features: Features = {"image": np.zeros((128, 128, 3), np.uint8), "geometry": Geometry.of(300, 200).array()}
    (unsure,) = TASK.decode(outputs(1), [Asked("a", features)])
    (sure,) = TASK.decode(outputs(1), [asked(300, 200)])
    assert unsure.confidence <= 0.1 < sure.confidence


@given(
    size=st.tuples(st.integers(50, 3000), st.integers(50, 3000)),
    middle=st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    label=st.integers(0, len(LABELS) - 1),
)
def test_a_box_comes_out_in_the_pixels_of_its_own_picture(
    size: tuple[int, int], middle: tuple[float, float], label: int
) -> None:
    width, height = size
    x, y = middle[0] * width, middle[1] * height
    true = [x - 0.2 * width, y - 0.2 * height, x + 0.2 * width, y + 0.2 * height]
    square = Geometry.of(width, height).to_square(np.array([true]))[0]
    column, row = ((square[:2] + square[2:]) / 2 // STRIDE).astype(int)
    point = (np.array([column, row]) + 0.5) * STRIDE
    said = outputs(2)
    said["scores"][1, row, column, label] = 0.9
    said["distances"][1, row, column] = [*(point - square[:2]), *(square[2:] - point)]
    nothing, found = TASK.decode(said, [asked(10, 10), asked(width, height, "b")])
    assert nothing.output == {"boxes": []}
    (box,) = found.output["boxes"]
    assert box["label"] == LABELS[label]
    assert box["score"] == pytest.approx(0.9, abs=1e-4)
    np.testing.assert_allclose(box["box"], true, atol=0.006 + 1e-5 * max(size))
    assert found.propensity == nothing.propensity == 1.0
    assert 0 < found.confidence < nothing.confidence < 1


def test_a_box_wholly_beside_the_picture_is_not_put_out() -> None:
    said = outputs(1)
    said["scores"][0, 0, 8, 0], said["distances"][0, 0, 8] = 0.9, (2, 2, 2, 2)
    (found,) = TASK.decode(said, [asked(400, 100)])
    assert found.output == {"boxes": []}


def unsure(batch: int) -> dict[str, Any]:
    """Three candidates in each picture, one of which may be of two classes."""
    said = outputs(batch)
    said["scores"][:, 3, 3, 0], said["scores"][:, 3, 3, 1] = 0.6, 0.5
    said["scores"][:, 8, 8, 2], said["scores"][:, 12, 4, 3] = 0.3, 0.8
    return said


def test_exploring_says_what_is_drawn_and_how_probable_it_was_the_same_for_the_same_prediction() -> None:
    task, count = ObjectDetection(explore=0.5), 2_000
    events = [asked(200, 200, str(number)) for number in range(count)]
    found = task.decode(unsure(count), events)
    assert found == [task.decode(unsure(1), [event])[0] for event in events[:20]] + found[20:]
    times = Counter(json.dumps(one.output) for one in found)
    propensities = {json.dumps(one.output): one.propensity for one in found}
    assert len(times) > 8
    for output, propensity in propensities.items():
        spread = np.sqrt(propensity * (1 - propensity) / count)
        assert times[output] / count == pytest.approx(propensity, abs=5 * spread + 1e-3)
    for one in found:
        scores = [box["score"] for box in one.output["boxes"]]
        assert scores == sorted(scores, reverse=True)
        assert task.validate_correction(one.output)
    assert {box["label"] for one in found for box in one.output["boxes"]} >= set(LABELS[:4])


def test_by_default_nothing_is_drawn() -> None:
    found = TASK.decode(unsure(50), [asked(200, 200, str(number)) for number in range(50)])
    assert all(one == found[0] for one in found)
    assert found[0].propensity == 1.0
    assert [box["label"] for box in found[0].output["boxes"]] == [LABELS[3], LABELS[0]]


def test_what_is_no_share_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        ObjectDetection(explore=1.5)


@given(
    st.lists(
        st.builds(
            lambda x, y, w, h, label: {"box": [x, y, x + w, y + h], "label": label},
            *[st.floats(0, 500)] * 2,
            *[st.floats(1, 500)] * 2,
            st.sampled_from(LABELS),
        ),
        max_size=5,
    )
)
def test_a_correction_in_canonical_form_stays_as_it_is(boxes: list[dict[str, Any]]) -> None:
    canonical = TASK.validate_correction({"boxes": boxes})
    assert canonical == {"boxes": boxes}
    assert TASK.validate_correction(canonical) == canonical
    assert TASK.validate_correction({"boxes": [{**box, "score": 0.5} for box in boxes]}) == canonical
    assert TASK.score(canonical, canonical) == pytest.approx(1.0)
