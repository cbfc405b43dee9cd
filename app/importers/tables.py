"""Rows of JSONL or CSV files, a row a line: so that a broken one never takes others with it."""

import csv
from collections.abc import Iterator
from typing import Any

from app.importers.example import MAX_LINE, Unusable, as_object, lines_of
from models.base import Rejected

Row = tuple[str, dict[str, Any] | Unusable]
"""Where it stands, and what is in it."""

csv.field_size_limit(MAX_LINE)


def jsonl(lines: Iterator[bytes], name: str) -> Iterator[Row]:
    """A JSON object in each line."""
    for where, text in lines_of(lines, name):
        if isinstance(text, Unusable):
            yield where, text
            continue
        try:
            yield where, as_object(text, "the line")
        except Rejected as error:
            yield where, Unusable(where, error.code, str(error))


def csv_rows(lines: Iterator[bytes], name: str) -> Iterator[Row]:
    """Comma-separated values (RFC 4180) below a line of names; no cell has a line break in it."""
    columns: list[str] | None = None
    for where, text in lines_of(lines, name):
        cells = text if isinstance(text, Unusable) else _cells(where, text)
        if isinstance(cells, Unusable):
            yield where, cells
        elif columns is None:
            columns = [cell.strip() for cell in cells]
        elif len(cells) != len(columns):
            yield where, Unusable(where, "bad_row", f"it has {len(cells)} cells; {len(columns)} are named above")
        else:
            yield where, dict(zip(columns, cells, strict=True))


def _cells(where: str, text: str) -> list[str] | Unusable:
    try:
        [cells] = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        return Unusable(where, "bad_row", f"the line is no CSV: {error}")
    return cells
