"""Annotated pictures are divided so that no object is on both sides, and parts of them keep their objects."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.studies.adapters_photographs.pictures import LIST, Pictures
from models.object_detection.labels import LABELS
from models.object_detection.scoring import all_right

LISTED = json.loads(LIST.read_text())


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """A picture of a red square on blue, and a red square cut out."""
    image = Image.new("RGB", (200, 100), "blue")
    image.paste("red", (50, 20, 100, 70))
    image.save(tmp_path / "one.png")
    Image.new("RGBA", (40, 40), "red").save(tmp_path / "cut.png")
    return Pictures(
        tmp_path,
        [{"name": "one.png", "group": "one", "boxes": [["cup", 25, 20, 50, 70]]}],
        [{"name": "cut.png", "label": "cup"}],
    )


def red(image: Image.Image) -> list[float]:
    """The extent of what is red, which scaling blurs by a pixel."""
    pixels = np.asarray(image).astype(int)
    rows, columns = np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_halves_share_no_group_and_are_all() -> None:
    whole = Pictures(Path(), LISTED["photographs"], LISTED["cut-outs"])
    for seed in range(3):
        first, second = whole.halves(seed)
        for name in ("photographs", "cutouts"):
            one, other = getattr(first, name), getattr(second, name)
            assert len(one) + len(other) == len(getattr(whole, name))
            assert not {entry.get("group", entry["name"]) for entry in one} & {
                entry.get("group", entry["name"]) for entry in other
            }


def test_what_is_listed_is_labelled_as_the_detector_labels() -> None:
    labels = {box[0] for entry in LISTED["photographs"] for box in entry["boxes"]}
    assert labels | {entry["label"] for entry in LISTED["cut-outs"]} <= set(LABELS)


def test_a_view_has_its_object_where_the_box_says(pictures: Pictures) -> None:
    for seed in range(8):
        scene = pictures.view(np.random.default_rng(seed))
        if scene.boxes:
            assert all_right([{"box": red(scene.image), "label": "cup"}], scene.boxes)


def test_a_collage_has_its_objects_where_the_boxes_say(pictures: Pictures) -> None:
    scene = pictures.collage("train", np.random.default_rng(2))
    for entry in scene.boxes:
        left, top, right, bottom = (int(edge) for edge in entry["box"])
        assert scene.image.getpixel(((left + right) // 2, (top + bottom) // 2)) == (255, 0, 0)
    assert scene.boxes


def test_a_missing_file_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is missing: take it from"):
        Pictures.of(tmp_path)
