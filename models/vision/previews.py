"""Pictures of the pages of a file for people: in colour, as JPEG, of bounded size."""

from io import BytesIO
from typing import NamedTuple

from PIL import Image

from models.vision.files import read_upright
from models.vision.pdf import draw_page, is_pdf
from models.vision.refusals import no_such_page
from models.vision.tiff_pages import is_tiff, page_file, page_offsets

MAX_PIXELS = 3_000_000
"""Of a preview: small print of an A4 page can be read."""
_MAX_SIDE = 16_384
"""Pixels: browsers show no larger pictures, and JPEG has none beyond four times that."""
_QUALITY = 88


class Preview(NamedTuple):
    """A page, upright, and the size at which applications display it: a picture's pixels, or a PDF's points."""

    jpeg: bytes
    width: float
    """The unit of the places in a prediction's output, whatever the preview's own size is."""
    height: float
    pages: int
    """How many the file has."""


def draw_preview(payload: bytes, page: int, max_pixels: int = MAX_PIXELS) -> Preview:
    """Draw a page, counted from 0. Raises `Rejected`: `no_such_page`, and all of `read_upright` and `draw_page`."""
    if is_pdf(payload):
        image, size, pages = draw_page(payload, page, max_pixels)
        return Preview(_to_jpeg(image, max_pixels), *size, pages)
    offsets = page_offsets(payload) if is_tiff(payload) else []
    pages = max(1, len(offsets))
    if not 0 <= page < pages:
        raise no_such_page(page, pages)
    picture, width, height = read_upright(page_file(payload, offsets[page]) if pages > 1 else payload)
    return Preview(_to_jpeg(picture, max_pixels), width, height, pages)


def _to_jpeg(image: Image.Image, max_pixels: int) -> bytes:
    if image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    scale = min((max_pixels / (image.width * image.height)) ** 0.5, _MAX_SIDE / max(image.size))
    if scale < 1:
        size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
