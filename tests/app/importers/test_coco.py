"""COCO's annotations: each image with its boxes, and the reasons why images are rejected."""

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


def test_an_image_has_its_boxes_by_their_corners_and_an_image_without_objects_is_an_example() -> None:
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
def test_a_broken_annotation_rejects_its_image_and_no_other(annotation: dict[str, Any], code: str) -> None:
    rejected, valid = read([image(0), image(1)], [{"id": 7, "image_id": 0} | annotation])
    assert isinstance(rejected, RejectedRow)
    assert (rejected.where, rejected.code) == ("instances.json:images[0]", code)
    assert isinstance(valid, Example)


def test_missing_and_ambiguous_files_and_annotations_without_an_image_are_rejected() -> None:
    files = {"a/0.jpg": "file:///a/0.jpg", "b/0.jpg": "file:///b/0.jpg", "10.jpg": "file:///10.jpg"}
    rejected = read([image(0), image(1), {"id": 3}], [{"image_id": 9}, {"bbox": []}, 7], files)
    assert sorted(row.code for row in rejected) == [
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
def test_a_valid_image_is_read_beside_any_other_entries(images: list[Any], annotations: list[Any]) -> None:
    rows = read([*images, {"id": "valid", "file_name": "val/4.jpg"}], annotations)
    assert "file:///coco/val/4.jpg" in [row.payload for row in rows if isinstance(row, Example)]
    assert len(rows) >= len(images) + 1


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"images": [], "annotations": 1, "categories": []}'])
def test_another_document_is_rejected(document: bytes) -> None:
    with pytest.raises(Rejected):
        list(read_examples(document, "x.json", {}))
