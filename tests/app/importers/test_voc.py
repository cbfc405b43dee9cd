"""Pascal VOC's documents: corners that are counted from 1, and the image that a document means."""

import pytest

from app.importers.example import Example, RejectedRow
from app.importers.voc import read_examples

BOX = "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>"


def read(content: str, paths: list[str], document: str = "Annotations/a.xml") -> list[Example | RejectedRow]:
    xml = f"<annotation>{content}</annotation>".encode()
    return list(read_examples([document], {path: f"file:///{path}" for path in paths}, lambda path: xml))


@pytest.mark.parametrize(
    ("corners", "box"),
    [((1, 1, 20, 10), [0, 0, 20, 10]), ((0, 0, 20, 10), [0, 0, 20, 10]), ((5, 4, 5, 4), [4, 3, 5, 4])],
)
def test_corners_are_whole_pixels_that_are_counted_from_1(corners: tuple[int, ...], box: list[float]) -> None:
    [example] = read(f"<object><name>cup</name>{BOX.format(*corners)}</object>", ["JPEGImages/a.jpg"])
    assert isinstance(example, Example)
    assert example.correction == {"boxes": [{"box": box, "label": "cup"}]}


def test_the_parts_of_an_object_are_not_objects() -> None:
    part = f"<part><name>handle</name>{BOX.format(1, 1, 2, 2)}</part>"
    [example] = read(f"<object><name>cup</name>{BOX.format(1, 1, 9, 9)}{part}</object>", ["JPEGImages/a.jpg"])
    assert isinstance(example, Example)
    assert example.correction is not None
    assert [box["label"] for box in example.correction["boxes"]] == ["cup"]


@pytest.mark.parametrize(
    ("content", "paths", "code"),
    [
        ("", ["JPEGImages/a.jpg"], "not_voc"),
        ("<size/>", ["JPEGImages/b.jpg"], "no_file"),
        ("<size/>", ["JPEGImages/a.jpg", "Masks/a.png"], "which_file"),
        ("<size/><filename>b.jpg</filename>", ["JPEGImages/a.jpg", "JPEGImages/b.jpg"], "which_file"),
        ("<object><name>cup</name></object>", ["JPEGImages/a.jpg"], "bad_annotation"),
        (f"<object>{BOX.format(1, 1, 2, 2)}</object>", ["JPEGImages/a.jpg"], "bad_annotation"),
        (f"<object><name>cup</name>{BOX.format(3, 1, 2, 2)}</object>", ["JPEGImages/a.jpg"], "bad_annotation"),
        (f"<object><name>cup</name>{BOX.format(1, 1, 'x', 2)}</object>", ["JPEGImages/a.jpg"], "bad_value"),
    ],
)
def test_a_document_that_may_be_wrong_is_rejected(content: str, paths: list[str], code: str) -> None:
    [row] = read(content, paths)
    assert isinstance(row, RejectedRow)
    assert row.code == code


def test_a_mask_of_the_same_name_is_not_the_image() -> None:
    [example] = read("<size/><filename>a.jpg</filename>", ["JPEGImages/a.jpg", "SegmentationClass/a.png"])
    assert isinstance(example, Example)
    assert example.payload == "file:///JPEGImages/a.jpg"
