from io import BytesIO

import pypdfium2
import pytest
from PIL import Image

from models.base import Rejected
from models.vision.pdf import draw_pages, is_pdf


def pdf(*levels: int) -> bytes:
    content = BytesIO()
    first, *others = (Image.new("L", (100, 50), level) for level in levels)
    first.save(content, "PDF", resolution=72, save_all=True, append_images=others)
    return content.getvalue()


def test_the_first_pages_are_drawn_with_as_many_pixels_as_may_be() -> None:
    drawn, count = draw_pages(pdf(0, 100, 200), 2, lambda pages: 20_000 // pages)
    assert count == 3
    assert [(image.mode, image.size) for image, _ in drawn] == [("L", (142, 71))] * 2
    assert [scale for _, scale in drawn] == pytest.approx([2**0.5] * 2)
    assert [image.getpixel((50, 30)) for image, _ in drawn] == pytest.approx([0, 100], abs=2)


def test_no_page_is_drawn_finer_than_print() -> None:
    [(image, scale)], _ = draw_pages(pdf(0), 1, lambda pages: 10**9)
    assert image.size == (278, 139)
    assert scale == pytest.approx(200 / 72)


def test_a_turned_page_is_drawn_as_it_is_displayed() -> None:
    with pypdfium2.PdfDocument(pdf(0)) as document:
        document[0].set_rotation(90)
        content = BytesIO()
        document.save(content)
    [(image, _)], _ = draw_pages(content.getvalue(), 1, lambda pages: 5_000)
    assert image.size == (50, 100)


def test_a_header_may_follow_white_space() -> None:
    assert is_pdf(b"\n\n%PDF-1.4")
    assert not is_pdf(b"PK%PDF-1.4")


def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(Rejected) as refusal:
        draw_pages(b"%PDF-1.4 damaged", 1, lambda pages: 10_000)
    assert refusal.value.code == "broken"
