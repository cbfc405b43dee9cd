"""From pages and pictures of lines to their text."""

from models.ocr.task import Ocr

__all__ = ["Ocr"]
