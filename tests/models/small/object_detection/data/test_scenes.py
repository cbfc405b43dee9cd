"""Made scenes and shipped samples: the same by seed, true in their boxes, and no split shares anything."""

from io import BytesIO
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from models.small.object_detection import ObjectDetection
from models.small.object_detection.data.drawing import TILE
from models.small.object_detection.data.objects import INSTANCES, drawn
from models.small.object_detection.data.photographs import FOLDER, PHOTOGRAPHS
from models.small.object_detection.data.scenes import MAX_SCENE_OBJECTS, make_payloads, samples
from models.small.object_detection.labels import LABELS

TASK = ObjectDetection()


def test_the_splits_share_no_photograph_and_no_object() -> None:
    names = [photograph.name for all_ in PHOTOGRAPHS.values() for photograph in all_]
    assert sorted(names) == sorted({path.stem for path in FOLDER.glob("*.jpg")})
    numbers = [number for instances in INSTANCES.values() for number in instances]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("label", LABELS)
def test_an_object_is_drawn_the_same_again_and_another_one_differently(label: str) -> None:
    first, again, other = drawn(label, 3), drawn(label, 3), drawn(label, 4)
    assert first.size == (TILE, TILE)
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert first.getchannel("A").getextrema() == (0, 255)


def test_scenes_are_distinct_and_depend_on_the_seed_alone() -> None:
    first = make_payloads(4, 1)
    assert first == make_payloads(4, 1)
    assert first[:2] == make_payloads(2, 1)
    assert len({sample.payload for sample in [*first, *make_payloads(4, 2)]}) == 8


def test_scenes_of_the_splits_differ() -> None:
    train, held_out = (next(samples(split, np.random.default_rng(0), "x")) for split in ("train", "held_out"))
    assert train.payload != held_out.payload


def test_the_truth_is_in_the_picture_and_a_correction_as_it_is() -> None:
    scenes = make_payloads(25, 3)
    assert {box["label"] for scene in scenes for box in scene.correction["boxes"]} == set(LABELS)
    for scene in scenes:
        width, height = Image.open(BytesIO(scene.payload)).size
        boxes = scene.correction["boxes"]
        assert len(boxes) <= MAX_SCENE_OBJECTS
        assert TASK.validate_correction(scene.correction) == scene.correction
        for left, top, right, bottom in (box["box"] for box in boxes):
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height


def test_the_demonstration_is_endless_and_repeats_by_seed() -> None:
    shown = list(islice(TASK.demonstration(5), 3))
    assert shown == list(islice(TASK.demonstration(5), 3))
    assert shown[0] != next(TASK.demonstration(6))
    assert {sample.content_type for sample in shown} == {"image/jpeg"}


def test_the_held_out_set_is_no_part_of_a_demonstration() -> None:
    held_out = {sample.payload for sample in islice(TASK.held_out(), 3)}
    assert not held_out & {sample.payload for sample in islice(TASK.demonstration(0), 3)}


def test_samples_are_real_files_of_several_kinds_with_their_truths() -> None:
    shipped = TASK.samples()
    assert 4 <= len(shipped) <= 6
    assert {sample.content_type for sample in shipped} == {"image/png", "image/jpeg"}
    assert {Image.open(BytesIO(sample.payload)).mode for sample in shipped} == {"RGB", "L", "CMYK"}
    for sample in shipped:
        geometry = TASK.preprocess(sample.payload)["geometry"]
        assert TASK.validate_correction(sample.correction) == sample.correction
        for box in sample.correction["boxes"]:
            assert box["box"][2] <= geometry[4]
            assert box["box"][3] <= geometry[5]
