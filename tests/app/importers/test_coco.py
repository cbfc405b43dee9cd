"""COCO's annotations: each image with its boxes, and why one is unusable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.importers.coco import read_examples
from app.importers.example import Example, RejectedRow
from models.base import Rejected

FILES = {f"val/{number}.jpg": f"file:///coco/val/{number}.jpg" for number in range(5)}
CATEGORIES = [{"id": 1, "name": "cup"}, {"id": 2, "name": "dog"}]


def read(images: list[Any], annotations: list[Any], files: dict[str, str] = FILES) -> list[Any]:
    document = json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}).encode()
    return list(read_examples(document, "instances.json", files))


def image(number: int) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number}.jpg", "width": 9, "height": 9}


def test_an_image_has_its_boxes_by_their_corners_and_one_without_objects_is_an_example_too() -> None:
    crowd = {"id": 8, "image_id": 0, "category_id": 2, "bbox": [0, 0, 9, 9], "iscrowd": 1}
    first, second = read(
        [image(0), image(1)], [{"id": 7, "image_id": 0, "category_id": 1, "bbox": [1, 2.5, 3, 4], "iscrowd": 0}, crowd]
    )
    uri = "file:///coco/val/0.jpg"
    boxes = {"boxes": [{"box": [1.0, 2.5, 4.0, 6.5], "label": "cup"}]}
    assert first == Example("instances.json:images[0]", uri, uri, boxes)
    assert second.correction == {"boxes": []}


@pytest.mark.parametrize(
    ("annotation", "code"),
    [
        ({"category_id": 3, "bbox": [0, 0, 1, 1]}, "bad_annotation"),
        ({"category_id": [], "bbox": [0, 0, 1, 1]}, "bad_image"),
        ({"category_id": 1, "bbox": [0, 0, 1]}, "bad_annotation"),
        ({"category_id": 1}, "bad_annotation"),
        ({"category_id": 1, "bbox": [0, 0, -1, 1]}, "bad_value"),
        ({"category_id": 1, "bbox": [0, 0, "x", 1]}, "bad_value"),
    ],
)
def test_a_broken_annotation_makes_its_image_unusable_and_no_other(annotation: dict[str, Any], code: str) -> None:
    wrong, good = read([image(0), image(1)], [{"id": 7, "image_id": 0} | annotation])
    assert isinstance(wrong, RejectedRow)
    assert (wrong.where, wrong.code) == ("instances.json:images[0]", code)
    assert isinstance(good, Example)


def test_files_that_are_missing_or_not_the_only_one_and_annotations_of_no_image_are_said() -> None:
    files = {"a/0.jpg": "file:///a/0.jpg", "b/0.jpg": "file:///b/0.jpg", "10.jpg": "file:///10.jpg"}
    found = read([image(0), image(1), {"id": 3}], [{"image_id": 9}, {"bbox": []}, 7], files)
    assert sorted(one.code for one in found) == [
        "bad_annotation",
        "bad_annotation",
        "bad_image",
        "no_file",
        "no_image",
        "which_file",
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "file_name", "x"]), inner),
    max_leaves=5,
)


@given(st.lists(anything, max_size=4), st.lists(anything, max_size=4))
def test_whatever_else_is_listed_a_good_image_is_there(images: list[Any], annotations: list[Any]) -> None:
    found = read([*images, {"id": "mine", "file_name": "val/4.jpg"}], annotations)
    assert "file:///coco/val/4.jpg" in [one.payload for one in found if isinstance(one, Example)]
    assert len(found) >= len(images) + 1


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"images": [], "annotations": 1, "categories": []}'])
def test_another_document_is_rejected(document: bytes) -> None:
    with pytest.raises(Rejected):
        list(read_examples(document, "x.json", {}))
