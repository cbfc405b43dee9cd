"""Reading one line of text in an image: handwritten digits and printed letters, digits and spaces."""

from models.small.ocr.task import Ocr

__all__ = ["Ocr"]
