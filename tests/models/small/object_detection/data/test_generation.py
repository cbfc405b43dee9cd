"""Data of a training: made scenes by seed, as examples in the square."""

import numpy as np

from models.small.object_detection import ObjectDetection
from models.small.object_detection.data.generation import examples, make_scenes
from models.small.object_detection.data.scenes import make_payloads
from models.small.object_detection.images import Geometry
from models.small.object_detection.labels import LABELS

TASK = ObjectDetection()


def test_examples_have_their_boxes_in_the_square() -> None:
    (sample,) = make_payloads(1, 2)
    features = TASK.preprocess(sample.payload)
    whole = examples([(features, sample.correction), (features, {"boxes": []})])
    boxes = sample.correction["boxes"]
    np.testing.assert_array_equal(whole.squares[0], features["image"])
    back = Geometry.from_array(features["geometry"]).to_picture(whole.boxes[0, : len(boxes)].astype(np.float64))
    np.testing.assert_allclose(back, [box["box"] for box in boxes], atol=1e-3)
    assert [LABELS[number] for number in whole.labels[0, : len(boxes)]] == [box["label"] for box in boxes]
    assert (whole.labels[0, len(boxes) :] == -1).all()
    assert (whole.labels[1] == -1).all()


def test_made_scenes_depend_on_seed_and_split_alone() -> None:
    first, again, other = (make_scenes("train", 3, seed, processes=1) for seed in (1, 1, 2))
    validation = make_scenes("validation", 3, 1, processes=1)
    for (features, truth), (same, same_truth) in zip(first, again, strict=True):
        assert truth == same_truth
        np.testing.assert_array_equal(features["image"], same["image"])
    assert not np.array_equal(first[0][0]["image"], other[0][0]["image"])
    assert not np.array_equal(first[0][0]["image"], validation[0][0]["image"])
