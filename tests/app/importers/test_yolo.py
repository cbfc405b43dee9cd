"""YOLO's labels: boxes as shares of the image, and the names of classes."""

import pytest

from app.importers.yolo import parse_boxes, read_names
from models.base import Rejected


def boxes(text: str) -> list[list[float]]:
    return [box["box"] for box in parse_boxes(text, {0: "cup"}, lambda: (200, 100))]


def test_a_box_is_its_corners_in_pixels_cut_at_the_edges() -> None:
    assert boxes("0 0.5 0.5 0.2 0.2\n0 0.05 0.5 0.2 1\n") == [[80, 40, 120, 60], pytest.approx([0, 0, 30, 100])]


def test_a_polygon_is_the_box_around_it() -> None:
    assert boxes("0 0.1 0.2 0.5 0.1 0.3 0.6\n") == [pytest.approx([20, 10, 100, 60])]


@pytest.mark.parametrize(
    "line",
    [
        "0",
        "1 0.5 0.5 0.2 0.2",
        "0.5 0.5 0.5 0.2 0.2",
        "0 0.5 0.5 0.2 0.2 0.9",
        "0 80 40 20 20",
        "0 nan 0.5 0.2 0.2",
        "0 0.5 0.5 -0.2 0.2",
        "cup 0.5 0.5 0.2 0.2",
        "0 0.1 0.2 0.5 0.1 0.3 0.6 2",
    ],
)
def test_a_broken_line_rejects_the_image(line: str) -> None:
    with pytest.raises(Rejected):
        boxes(f"0 0.5 0.5 0.2 0.2\n{line}\n")


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("data.yaml", b"nc: 2\nnames: [cup, dog]\n"),
        ("data.yaml", b"names:\n  0: cup\n  1: dog\n"),
        ("classes.txt", b"cup\r\ndog\r\n"),
    ],
)
def test_the_names_of_classes_are_in_a_list_an_object_or_lines(path: str, document: bytes) -> None:
    assert read_names({path: document}) == {0: "cup", 1: "dog"}


@pytest.mark.parametrize(
    "documents",
    [
        {},
        {"data.yaml": b"names: []"},
        {"data.yaml": b"names: {a: cup}"},
        {"data.yaml": b"nc: 3\nnames: [cup, dog]"},
        {"data.yaml": b"kpt_shape: [17, 3]\nnames: [person]"},
        {"data.yaml": b"names: ["},
        {"a/classes.txt": b"cup\n", "b/classes.txt": b"dog\n"},
    ],
)
def test_names_that_are_missing_or_contradict_each_other_are_refused(documents: dict[str, bytes]) -> None:
    with pytest.raises(Rejected):
        read_names(documents)
