"""PaddleOCR's labels for recognition: a path, a tab and the text of one line."""

import pytest

from app.importers.example import Example, RejectedRow
from app.importers.paddleocr import is_paddleocr, read_examples
from app.importers.payload_files import PayloadFiles

FILES = PayloadFiles([("crops/a.png", "file:///crops/a.png")])


def test_a_line_is_a_picture_and_its_text() -> None:
    uri = "file:///crops/a.png"
    [example] = read_examples([b"crops/a.png\tOrder 4711\n"], "rec.txt", "rec.txt", FILES)
    assert example == Example("rec.txt:1", uri, uri, {"text": "Order 4711"})


@pytest.mark.parametrize(
    "line", [b"a.png\t\n", b"a.png\n", b"a.png\tx\ty\n", b'a.png\t[{"points": []}]\n', b"b.png\tx\n"]
)
def test_another_line_is_rejected(line: bytes) -> None:
    [row] = read_examples([line], "rec.txt", "rec.txt", FILES)
    assert isinstance(row, RejectedRow)


@pytest.mark.parametrize(("line", "expected"), [(b"a.PNG\tx\n", True), (b"a.png x\n", False), (b"x\ty\n", False)])
def test_the_first_line_tells_the_layout(line: bytes, expected: bool) -> None:
    assert is_paddleocr([line]) == expected
