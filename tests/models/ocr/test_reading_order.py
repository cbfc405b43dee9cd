import numpy as np
import pytest
from numpy.typing import NDArray

from models.ocr.reading_order import reading_order


def boxes(*lines: tuple[float, float, float]) -> NDArray[np.float64]:
    """Lines of the height 20 by their left, top and right."""
    return np.array([[[x0, y], [x1, y], [x1, y + 20], [x0, y + 20]] for x0, y, x1 in lines])


def turned(lines: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    angle = np.radians(degrees)
    return np.asarray(lines @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]] + 1000)


TITLE_AND_COLUMNS = boxes(
    (350, 55, 600),
    (0, 0, 600),
    (0, 55, 250),
    (350, 85, 600),
    (0, 115, 250),
    (0, 85, 250),
    (350, 115, 500),
    (0, 170, 600),
)


def test_a_page_without_lines_has_no_rows() -> None:
    assert reading_order(boxes()) == []


def test_lines_are_read_from_top_to_bottom() -> None:
    assert reading_order(boxes((0, 80, 300), (0, 0, 300), (0, 40, 200))) == [[1], [2], [0]]


def test_columns_are_read_one_after_the_other_between_what_spans_them() -> None:
    assert reading_order(TITLE_AND_COLUMNS) == [[1], [2], [5], [4], [0], [3], [6], [7]]


def test_rows_of_a_receipt_are_read_across() -> None:
    assert reading_order(boxes((300, 2, 340), (0, 0, 120), (0, 40, 200), (300, 39, 340))) == [[1, 0], [2, 3]]


@pytest.mark.parametrize("degrees", [-7, 4, 90, 180, 187, 270])
def test_a_page_that_is_turned_or_askew_is_read_as_an_upright_one(degrees: float) -> None:
    assert reading_order(turned(TITLE_AND_COLUMNS, degrees)) == reading_order(TITLE_AND_COLUMNS)


def test_lines_whose_margins_overlap_are_rows_of_their_own() -> None:
    assert reading_order(boxes((0, 0, 300), (0, 16, 300), (0, 32, 300))) == [[0], [1], [2]]


def test_a_heading_between_columns_and_the_text_below_it_is_read_after_the_columns() -> None:
    heading, text = (0, 190, 150), (0, 215, 600)
    columns = [(left, 30 * row, left + 250) for row in range(5) for left in (0, 350)]
    assert reading_order(boxes(*columns, heading, text)) == [
        *([2 * row] for row in range(5)),
        *([2 * row + 1] for row in range(5)),
        [10],
        [11],
    ]
