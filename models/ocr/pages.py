"""From the bytes of a file to its pages in grey levels, of bounded size: pictures, TIFF and PDF files of several pages.

Nothing is done to the pages but to make large ones smaller: the networks read light on dark, faint and uneven ones.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.vision.files import read_upright
from models.vision.grey import to_grey
from models.vision.pdf import draw_pages, is_pdf
from models.vision.tiff_pages import is_tiff, page_file, page_offsets

MAX_PAGES = 10
"""The first of a file; what follows is not read."""
MAX_PAGE_PIXELS = 4_000_000
"""A4 at 200 dots per inch."""
MAX_PIXELS = 12_000_000
"""Of all pages together: so many bytes go through Kafka."""


class Page(NamedTuple):
    """A page, uint8 (height, width), and the size at which applications display it: a picture's, or a PDF's points."""

    grey: NDArray[np.uint8]
    displayed: tuple[float, float]
    """Width and height."""


def read_pages(payload: bytes) -> tuple[list[Page], int]:
    """Return the first pages of a file, upright, and how many pages it has. Raises `Rejected`."""
    if is_pdf(payload):
        drawn, count = draw_pages(payload, MAX_PAGES, _page_pixels)
        return [_page(image, image.width / scale, image.height / scale, len(drawn)) for image, scale in drawn], count
    if not is_tiff(payload):
        return [_picture(payload, 1)], 1
    offsets = page_offsets(payload)
    if len(offsets) < 2:
        return [_picture(payload, 1)], 1
    read = offsets[:MAX_PAGES]
    return [_picture(page_file(payload, offset), len(read)) for offset in read], len(offsets)


def _page_pixels(pages: int) -> int:
    return min(MAX_PAGE_PIXELS, MAX_PIXELS // max(1, pages))


def _picture(payload: bytes, pages: int) -> Page:
    image, width, height = read_upright(payload)
    return _page(to_grey(image), width, height, pages)


def _page(grey: Image.Image, width: float, height: float, pages: int) -> Page:
    most = _page_pixels(pages)
    scale = (most / (grey.width * grey.height)) ** 0.5
    if scale < 1:
        across = min(most, max(1, int(grey.width * scale)))
        down = min(most // across, max(1, int(grey.height * scale)))
        grey = grey.resize((across, down), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Page(np.asarray(grey), (width, height))
