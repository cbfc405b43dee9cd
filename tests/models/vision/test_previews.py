from io import BytesIO

import pypdfium2
import pytest
from PIL import Image

from models.base import Rejected
from models.ocr.samples import SAMPLES
from models.vision.previews import draw_preview


def encoded(images: list[Image.Image], form: str) -> bytes:
    content = BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    images[0].save(content, form, **more)
    return content.getvalue()


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(BytesIO(jpeg), formats=("JPEG",))


def empty_pdf(*sizes: tuple[int, int]) -> bytes:
    content = BytesIO()
    with pypdfium2.PdfDocument.new() as document:
        for size in sizes:
            document.new_page(*size)
        document.save(content)
    return content.getvalue()


@pytest.mark.parametrize("form", ["TIFF", "HEIF", "JPEG2000", "PNG", "GIF"])
def test_a_picture_of_any_format_is_drawn_in_its_colours(form: str) -> None:
    preview = draw_preview(encoded([Image.new("RGB", (40, 30), (200, 40, 40))], form), 0)
    red, green, blue = opened(preview.jpeg).convert("RGB").getpixel((20, 15))  # type: ignore[misc]
    assert red > 180
    assert max(green, blue) < 60
    assert (preview.width, preview.height, preview.pages) == (40, 30, 1)


def test_each_page_of_a_tiff_is_drawn() -> None:
    content = encoded([Image.new("L", (40, 30), level) for level in (0, 100, 200)], "TIFF")
    for page, level in enumerate((0, 100, 200)):
        preview = draw_preview(content, page)
        assert opened(preview.jpeg).getpixel((5, 5)) == pytest.approx(level, abs=2)
        assert preview.pages == 3


def test_a_page_of_a_pdf_has_the_size_of_its_points() -> None:
    preview = draw_preview(empty_pdf((144, 72), (72, 144)), 1)
    assert (preview.width, preview.height, preview.pages) == (72, 144, 2)
    assert opened(preview.jpeg).size == (200, 400)


@pytest.mark.parametrize(
    "content", [empty_pdf((144, 72)), encoded([Image.new("L", (4, 3))] * 2, "TIFF")], ids=["PDF", "TIFF"]
)
@pytest.mark.parametrize("page", [2, -1])
def test_a_page_that_a_file_does_not_have_is_refused(content: bytes, page: int) -> None:
    with pytest.raises(Rejected, match="counted from 0") as refusal:
        draw_preview(content, page)
    assert refusal.value.code == "no_such_page"


@pytest.mark.parametrize("size", [(3000, 2000), (100_000, 6)])
def test_a_large_page_becomes_smaller_and_keeps_its_displayed_size(size: tuple[int, int]) -> None:
    preview = draw_preview(encoded([Image.new("L", size, 9)], "PNG"), 0, 100_000)
    picture = opened(preview.jpeg)
    assert picture.width * picture.height <= 100_000
    assert (preview.width, preview.height) == size


def test_the_shipped_pages_are_drawn() -> None:
    assert draw_preview((SAMPLES / "huckleberry-finn.pdf").read_bytes(), 0).pages == 1
    assert opened(draw_preview((SAMPLES / "receipt.tif").read_bytes(), 0).jpeg).format == "JPEG"


def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(Rejected, match="damaged"):
        draw_preview(b"%PDF-1.7 nothing else", 0)
