"""Rows of JSONL or CSV files, a row a line: so that a broken one never takes others with it."""

import csv
from collections.abc import Iterator
from typing import Any

from app.importers.example import MAX_LINE, RejectedRow, numbered_lines, parse_object
from models.base import Rejected

TableRow = tuple[str, dict[str, Any] | RejectedRow]
"""Where it stands, and what is in it."""

csv.field_size_limit(MAX_LINE)


def read_jsonl(lines: Iterator[bytes], name: str) -> Iterator[TableRow]:
    """A JSON object in each line."""
    for where, text in numbered_lines(lines, name):
        if isinstance(text, RejectedRow):
            yield where, text
            continue
        try:
            yield where, parse_object(text, "the line")
        except Rejected as error:
            yield where, RejectedRow(where, error.code, str(error))


def read_csv(lines: Iterator[bytes], name: str) -> Iterator[TableRow]:
    """Comma-separated values (RFC 4180) below a line of names; no cell has a line break in it."""
    columns: list[str] | None = None
    for where, text in numbered_lines(lines, name):
        cells = text if isinstance(text, RejectedRow) else _parse_cells(where, text)
        if isinstance(cells, RejectedRow):
            yield where, cells
        elif columns is None:
            columns = [cell.strip() for cell in cells]
        elif len(cells) != len(columns):
            yield where, RejectedRow(where, "bad_row", f"it has {len(cells)} cells; {len(columns)} are named above")
        else:
            yield where, dict(zip(columns, cells, strict=True))


def _parse_cells(where: str, text: str) -> list[str] | RejectedRow:
    try:
        [cells] = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        return RejectedRow(where, "bad_row", f"the line is no CSV: {error}")
    return cells
