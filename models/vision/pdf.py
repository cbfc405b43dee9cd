"""The pages of a PDF file as grey pictures, drawn by PDFium. Its fonts for texts without embedded ones are built in."""

import threading
from collections.abc import Callable

import pypdfium2
from PIL import Image

from models.base import Rejected

MAX_SCALE = 200 / 72
"""Pixels per point, 1/72 inch: of scans and print, more shows no more of a letter."""
_LOCK = threading.Lock()
"""PDFium is not safe for threads."""


def is_pdf(payload: bytes) -> bool:
    """Return whether a file is a PDF; its header may have white space before it."""
    return payload[:1024].lstrip().startswith(b"%PDF-")


def draw_pages(payload: bytes, most: int, pixels: Callable[[int], int]) -> tuple[list[tuple[Image.Image, float]], int]:
    """Return the first pages, upright and grey, each with its pixels per point; and how many pages the file has.

    `pixels` returns the most pixels of a page, given how many are drawn. Raises `Rejected`: `broken`, `encrypted`.
    """
    with _LOCK:
        try:
            with pypdfium2.PdfDocument(payload) as document:
                if not (count := min(most, len(document))):
                    raise Rejected("broken", "the PDF file is damaged: it has no pages")
                return [_draw(document[number], pixels(count)) for number in range(count)], len(document)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise Rejected("encrypted", "the PDF file needs a password: send it without one") from error
            raise Rejected("broken", f"the PDF file is damaged: {error}") from error


def _draw(page: pypdfium2.PdfPage, pixels: int) -> tuple[Image.Image, float]:
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise Rejected("broken", f"the PDF file is damaged: a page of {width:g} x {height:g} points")
    scale = min(MAX_SCALE, (pixels / (width * height)) ** 0.5)
    return page.render(scale=scale, grayscale=True).to_pil(), scale
