"""Text of sources: UTF-8 with or without a byte order mark, and UTF-16, as Excel and PowerShell save it."""

import codecs
import json
from collections.abc import Iterable, Iterator
from itertools import chain

from app.importers.example import RejectedRow
from models.base import Rejected

MAX_LINE = 16 * 1024 * 1024
"""Bound of a row's bytes; a longer row is rejected."""

_REMEDY = "save the file as UTF-8, for example: iconv -f latin1 -t utf-8"


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file in UTF-8; a line longer than `MAX_LINE` is cut to one byte more than that."""
    rest = b""
    for chunk in chunks:
        if len(rest) > MAX_LINE and b"\n" not in chunk:
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line[:MAX_LINE] + b"\n" if len(line) < MAX_LINE else line[: MAX_LINE + 1]
        rest = rest[: MAX_LINE + 1]
    if rest:
        yield rest


def transcode(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a file's bytes in UTF-8. What is not valid UTF-16 stays invalid, so that its line is rejected."""
    first = next(chunks, b"")
    encoding = json.detect_encoding(first)
    if not encoding.startswith("utf-16"):
        yield first
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    for chunk in chain([first], chunks):
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:  # half of a character: the file was cut
        yield b"\xff"


def decode_document(document: bytes, name: str) -> str:
    """Return a whole file's text. Raises `Rejected`."""
    try:
        return document.decode(json.detect_encoding(document))
    except UnicodeDecodeError as error:
        raise Rejected("not_utf8", f"{name} is not valid UTF-8: {error}; {_REMEDY}") from None


def numbered_lines(
    lines: Iterable[bytes], name: str, with_blank: bool = False
) -> Iterator[tuple[str, str | RejectedRow]]:
    """Yield the place and the text of each line that is not blank, or of all lines."""
    for number, line in enumerate(lines, start=1):
        where = f"{name}:{number}"
        if len(line) > MAX_LINE:
            yield where, RejectedRow(where, "too_long", f"the line has more than {MAX_LINE:,} bytes")
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            yield where, RejectedRow(where, "not_utf8", f"the line is not valid UTF-8: {error}; {_REMEDY}")
            continue
        if with_blank or text.strip():
            yield where, text.rstrip("\r\n")
