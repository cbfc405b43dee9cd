from io import BytesIO

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from models.base import Rejected
from models.ocr import Ocr, pages
from models.ocr.pages import read_pages


def encoded(images: list[Image.Image], form: str) -> bytes:
    content = BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    images[0].save(content, form, **more)
    return content.getvalue()


def greys(*levels: int, size: tuple[int, int] = (40, 30)) -> list[Image.Image]:
    return [Image.new("L", size, level) for level in levels]


def test_a_picture_is_one_page_as_it_is() -> None:
    [page], count = read_pages(encoded(greys(77), "PNG"))
    assert (count, page.grey.shape, page.displayed, page.grey.max()) == (1, (30, 40), (40, 30), 77)


def test_each_page_of_a_tiff_is_read() -> None:
    read, count = read_pages(encoded(greys(10, 20, 30), "TIFF"))
    assert (count, [int(page.grey[0, 0]) for page in read]) == (3, [10, 20, 30])


def test_each_page_of_a_pdf_is_read_in_its_points() -> None:
    with pypdfium2.PdfDocument.new() as document:
        document.new_page(144, 72)
        document.new_page(72, 144)
        content = BytesIO()
        document.save(content)
    read, count = read_pages(content.getvalue())
    assert count == 2
    assert [page.grey.shape for page in read] == [(200, 400), (400, 200)]
    assert read[0].displayed == pytest.approx((144, 72))


def test_only_the_first_pages_of_many_are_read() -> None:
    read, count = read_pages(encoded(greys(*range(12)), "TIFF"))
    assert (len(read), count) == (10, 12)


@pytest.mark.parametrize("size", [(3000, 2000), (1_000_000, 6), (6, 1_000_000)])
def test_a_large_page_becomes_smaller_and_is_displayed_as_it_was(size: tuple[int, int]) -> None:
    [page], _ = read_pages(encoded(greys(200, size=size), "PNG"))
    assert page.grey.size <= pages.MAX_PAGE_PIXELS
    assert page.displayed == size


def test_many_large_pages_share_the_pixels_of_an_event() -> None:
    read, _ = read_pages(encoded(greys(*range(6), size=(2000, 1500)), "TIFF"))
    assert sum(page.grey.size for page in read) <= pages.MAX_PIXELS


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 nothing", "broken"),
        (b"text", "not_an_image"),
        (encoded(greys(1, 2), "TIFF")[:-40], "truncated"),
    ],
)
def test_what_can_not_be_read_is_refused(payload: bytes, code: str) -> None:
    with pytest.raises(Rejected) as refusal:
        read_pages(payload)
    assert refusal.value.code == code


def test_small_pictures_share_a_padded_shape_and_pages_waste_little() -> None:
    task = Ocr()
    assert task.padded({"pixels": (9_000,), "sizes": (1, 2)}) == task.padded({"pixels": (16_000,), "sizes": (1, 2)})
    assert task.padded({"pixels": (2_200_000,), "sizes": (3, 2)}) == {"pixels": (3 * (1 << 20),), "sizes": (4, 2)}


def test_features_hold_every_pixel_of_every_page() -> None:
    features = Ocr().preprocess(encoded(greys(10, 20), "TIFF"))
    assert np.bincount(features["pixels"]).nonzero()[0].tolist() == [10, 20]
    assert features["sizes"].tolist() == [[30, 40], [30, 40]]
