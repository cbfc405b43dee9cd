"""Rows of JSONL or CSV files, one per line, so that a broken row never affects others."""

import csv
from collections.abc import Iterator
from typing import Any

from app.importers.example import MAX_LINE, RejectedRow, numbered_lines, parse_object
from models.base import Rejected

TableRow = tuple[str, dict[str, Any] | RejectedRow]
"""The row's place, and its values."""

csv.field_size_limit(MAX_LINE)


def read_jsonl(lines: Iterator[bytes], name: str) -> Iterator[TableRow]:
    """Yield the JSON object in each line."""
    for where, text in numbered_lines(lines, name):
        if isinstance(text, RejectedRow):
            yield where, text
            continue
        try:
            yield where, parse_object(text, "the line")
        except Rejected as error:
            yield where, RejectedRow(where, error.code, str(error))


def read_csv(lines: Iterator[bytes], name: str) -> Iterator[TableRow]:
    """Yield the rows of comma-separated values (RFC 4180) below a line of names. Cells can't contain line breaks."""
    columns: list[str] | None = None
    for where, text in numbered_lines(lines, name):
        cells = text if isinstance(text, RejectedRow) else _parse_cells(where, text)
        if isinstance(cells, RejectedRow):
            yield where, cells
        elif columns is None:
            columns = [cell.strip() for cell in cells]
        elif len(cells) != len(columns):
            yield where, RejectedRow(where, "bad_row", f"the row has {len(cells)} cells for {len(columns)} columns")
        else:
            yield where, dict(zip(columns, cells, strict=True))


def _parse_cells(where: str, text: str) -> list[str] | RejectedRow:
    try:
        [cells] = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        return RejectedRow(where, "bad_row", f"the line is not valid CSV: {error}")
    return cells
