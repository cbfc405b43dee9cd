"""COCO's annotations: each image with its boxes, and the reasons why images are rejected."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.importers.coco import read_examples
from app.importers.example import Example, RejectedRow
from app.importers.payload_files import PayloadFiles
from models.base import Rejected

FILES = {f"val/{number}.jpg": f"file:///coco/val/{number}.jpg" for number in range(5)}
CATEGORIES = [{"id": 1, "name": "cup"}, {"id": 2, "name": "dog"}]


def read(images: list[Any], annotations: list[Any], files: dict[str, str] = FILES) -> list[Any]:
    document = json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}).encode()
    return list(read_examples(document, "instances.json", PayloadFiles(files.items())))


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
        ({"category_id": [], "bbox": [0, 0, 1, 1]}, "bad_annotation"),
        ({"category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": "perhaps"}, "bad_annotation"),
        ({"category_id": 1, "bbox": [0, 0, 1, float("nan")]}, "bad_value"),
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


BOX = {"category_id": 1, "bbox": [0, 0, 1, 1]}


@pytest.mark.parametrize("image_id", [1, "1", 1.0, " 1"])
@pytest.mark.parametrize("listed", [1, "1", 1.0])
@pytest.mark.parametrize("category", [1, "1"])
def test_ids_join_as_text_or_numbers(image_id: object, listed: object, category: object) -> None:
    [example] = read([{"id": listed, "file_name": "1.jpg"}], [BOX | {"image_id": image_id, "category_id": category}])
    assert example.correction == {"boxes": [{"box": [0, 0, 1, 1], "label": "cup"}]}


@pytest.mark.parametrize("iscrowd", [0, "0", False, "false", "False", None, 0.0, ""])
def test_a_region_is_not_of_a_crowd_however_that_is_spelled(iscrowd: object) -> None:
    [example] = read([image(0)], [BOX | {"image_id": 0, "iscrowd": iscrowd}])
    assert len(example.correction["boxes"]) == 1


@pytest.mark.parametrize("iscrowd", [1, "1", True, "true", "True"])
def test_a_region_of_a_crowd_is_left_out_however_that_is_spelled(iscrowd: object) -> None:
    [example] = read([image(0)], [BOX | {"image_id": 0, "iscrowd": iscrowd}])
    assert example.correction == {"boxes": []}


def test_an_image_without_annotations_is_rejected_if_some_are_of_images_that_are_not_listed() -> None:
    with_box, empty = read([image(0), image(1)], [BOX | {"image_id": 0}, BOX | {"image_id": "0001"}])
    assert isinstance(with_box, Example)
    assert empty.code == "unjoined_annotations"


@pytest.mark.parametrize("annotation", [7, BOX, BOX | {"image_id": None}, BOX | {"image_id": [1]}])
def test_an_annotation_that_may_be_of_any_image_rejects_all(annotation: Any) -> None:
    rows = read([image(0), image(1)], [BOX | {"image_id": 0}, annotation])
    assert [row.code for row in rows] == ["unjoined_annotations"] * 2


def test_images_with_one_id_or_one_file_are_rejected() -> None:
    images = [image(0), image(0) | {"file_name": "1.jpg"}, image(2), image(3) | {"file_name": "2.jpg"}, image(4)]
    rows = read(images, [])
    assert [row.code for row in rows[:4]] == ["which_image"] * 4
    assert isinstance(rows[4], Example)


def test_missing_and_ambiguous_files_are_rejected() -> None:
    files = {"a/0.jpg": "file:///a/0.jpg", "b/0.jpg": "file:///b/0.jpg", "10.jpg": "file:///10.jpg"}
    rejected = read([image(0), image(1), {"id": 3}, 7], [], files)
    assert [row.code for row in rejected] == ["which_file", "no_file", "bad_image", "bad_image"]


def test_what_is_not_a_number_is_read_where_no_number_is_needed() -> None:
    [example] = read([image(0)], [BOX | {"image_id": 0, "area": float("nan")}])
    assert isinstance(example, Example)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_document_may_be_in_other_encodings_of_unicode(encoding: str) -> None:
    document = json.dumps({"images": [image(0)], "annotations": [], "categories": []}).encode(encoding)
    [example] = read_examples(document, "x.json", PayloadFiles(FILES.items()))
    assert isinstance(example, Example)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "file_name", "x"]), inner),
    max_leaves=5,
)


@given(st.lists(anything, max_size=4), st.lists(anything, max_size=4))
def test_each_image_is_read_or_rejected_and_none_is_empty_beside_annotations_without_an_image(
    images: list[Any], annotations: list[Any]
) -> None:
    rows = read([*images, {"id": "valid", "file_name": "val/4.jpg"}], annotations)
    assert len(rows) == len(images) + 1
    assert isinstance(rows[-1], RejectedRow if annotations else Example)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"images": [], "annotations": 1, "categories": []}'])
def test_another_document_is_rejected(document: bytes) -> None:
    with pytest.raises(Rejected):
        list(read_examples(document, "x.json", PayloadFiles(())))
