"""PaddleOCR's labels for recognition (PaddleOCR's docs, "text recognition"): a path, a tab and the text, per line."""

from collections.abc import Iterable, Iterator

from app.importers.example import Example, ParsedRow, RejectedRow
from app.importers.payload_files import PICTURE_SUFFIXES, PayloadFiles
from app.importers.text import numbered_lines
from models.base import Rejected


def is_paddleocr(lines: Iterable[bytes]) -> bool:
    """Return whether a file begins with the path of a picture, a tab and a text."""
    _, first = next(numbered_lines(lines, ""), ("", ""))
    path, tab, _ = first.partition("\t") if isinstance(first, str) else ("", "", "")
    return bool(tab) and path.lower().endswith(PICTURE_SUFFIXES)


def read_examples(lines: Iterable[bytes], name: str, path: str, files: PayloadFiles) -> Iterator[ParsedRow]:
    """Yield the pictures of lines of text. `path` is the label file's among the `files`. Labels of whole pages, which
    have several texts, are rejected.
    """
    for where, line in numbered_lines(lines, name):
        try:
            if isinstance(line, RejectedRow):
                raise Rejected(line.code, line.reason)
            picture, *texts = line.split("\t")
            if len(texts) != 1 or not texts[0].strip():
                raise Rejected("bad_row", "a path, a tab and a text are needed")
            if texts[0].startswith(('[{"', '["')):
                raise Rejected("bad_label", "the label is of a page or of several pictures; one text is needed")
            uri = files.find(picture, path)
            yield Example(where, uri, uri, {"text": texts[0]})
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))
