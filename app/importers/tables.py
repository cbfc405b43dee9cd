"""Rows of JSONL, CSV and TSV files, read so that a broken row never affects others."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from app.importers.example import RejectedRow, parse_object
from app.importers.text import MAX_LINE, numbered_lines
from models.base import Rejected

TableRow = tuple[str, dict[str, Any] | RejectedRow]
"""The row's place, and its values."""

MAX_CELL_LINES = 100
"""Bound of a row's lines: so a quote that nobody closes costs little."""
DELIMITERS = ",;\t"

csv.field_size_limit(MAX_LINE)

_Line = tuple[str, str | RejectedRow]


def read_table(lines: Iterable[bytes], name: str) -> Iterator[TableRow]:
    """Yield the rows of a file by the end of its name. Raises `Rejected` for a header that is not one."""
    if name.lower().endswith(".tsv"):
        return read_tsv(lines, name)
    return read_csv(lines, name) if name.lower().endswith(".csv") else read_jsonl(lines, name)


def rename_columns(rows: Iterable[TableRow], names: Mapping[str, str]) -> Iterator[TableRow]:
    """Yield the rows with other names for their columns; a column that had the new name is left out."""
    for where, row in rows:
        if isinstance(row, RejectedRow):
            yield where, row
            continue
        replaced = {names[name] for name in row if name in names}
        kept = {name: value for name, value in row.items() if name not in replaced and name not in names}
        yield where, kept | {names[name]: value for name, value in row.items() if name in names}


def read_jsonl(lines: Iterable[bytes], name: str) -> Iterator[TableRow]:
    """Yield the JSON object in each line."""
    for where, text in numbered_lines(lines, name):
        if isinstance(text, RejectedRow):
            yield where, text
            continue
        try:
            yield where, parse_object(text, "the line")
        except Rejected as error:
            yield where, RejectedRow(where, error.code, str(error))


def read_csv(lines: Iterable[bytes], name: str) -> Iterator[TableRow]:
    """Yield the rows of comma-separated values (RFC 4180) below a line of names.

    Commas, semicolons or tabs separate the cells: whichever the first line has most of. A quoted cell may have line
    breaks. Raises `Rejected` for a header that is not one.
    """
    numbered = numbered_lines(lines, name, with_blank=True)
    columns, delimiter = _read_columns(numbered, name)
    waiting: deque[_Line] = deque()
    while line := waiting.popleft() if waiting else next(numbered, None):
        where, text = line
        if isinstance(text, str) and not text.strip():
            continue
        if isinstance(text, RejectedRow):
            yield where, text
            continue
        taken: list[_Line] = []
        cells = _parse_cells(where, text, delimiter, taken, chain(_drain(waiting), numbered))
        if taken and (isinstance(cells, RejectedRow) or len(cells) != len(columns)):
            waiting.extendleft(reversed(taken))
            cells = RejectedRow(where, "bad_row", "the line is not valid CSV: a quoted cell is not closed")
        yield where, _to_row(where, cells, columns)


def read_tsv(lines: Iterable[bytes], name: str) -> Iterator[TableRow]:
    """Yield the rows of tab-separated values below a line of names.

    A row is one line. A cell is quoted if it is so as a whole; other quotes are text, as in Common Voice. Raises
    `Rejected` for a header that is not one.
    """
    numbered = numbered_lines(lines, name)
    columns, _ = _read_columns(numbered, name)
    for where, text in numbered:
        cells = text if isinstance(text, RejectedRow) else _parse_tsv(where, text)
        yield where, _to_row(where, cells, columns)


def _drain(waiting: deque[_Line]) -> Iterator[_Line]:
    while waiting:
        yield waiting.popleft()


def read_header(lines: Iterable[bytes], name: str) -> list[str]:
    """Return the names of a CSV's or a TSV's columns. Raises `Rejected`."""
    return _read_columns(numbered_lines(lines, name), name)[0]


def _read_columns(numbered: Iterator[_Line], name: str) -> tuple[list[str], str]:
    """Return the names of the columns, and what separates them. Raises `Rejected`."""
    where, header = next((line for line in numbered if line[1]), (f"{name}:1", ""))
    delimiter = "\t"
    if isinstance(header, str) and not name.lower().endswith(".tsv"):
        if separator := re.fullmatch(r"sep=(.)", header):  # Excel's own
            delimiter = separator[1]
            where, header = next(numbered, (where, ""))
        else:
            delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", header).count)
    cells = header if isinstance(header, RejectedRow) else _parse_cells(where, header, delimiter, [], iter(()))
    if isinstance(cells, RejectedRow):
        raise Rejected(cells.code, f"{where}: {cells.reason}")
    columns = [cell.strip() for cell in cells]
    if repeated := sorted({column for column in columns if column and columns.count(column) > 1}):
        raise Rejected("bad_header", f"{where}: the first line names {', '.join(map(repr, repeated))} more than once")
    return columns, delimiter


def _to_row(where: str, cells: list[str] | RejectedRow, columns: list[str]) -> dict[str, Any] | RejectedRow:
    if isinstance(cells, RejectedRow):
        return cells
    if len(cells) != len(columns):
        return RejectedRow(where, "bad_row", f"the row has {len(cells)} cells for {len(columns)} columns")
    # A column without a name is an index, which pandas writes.
    return {column: cell for column, cell in zip(columns, cells, strict=True) if column}


def _parse_cells(
    where: str, text: str, delimiter: str, taken: list[_Line], following: Iterator[_Line]
) -> list[str] | RejectedRow:
    """Return the cells of a row that begins with this text. Lines that are needed beside it are added to `taken`."""

    def lines() -> Iterator[str]:
        yield f"{text}\n"
        while len(taken) < MAX_CELL_LINES and (line := next(following, None)):
            taken.append(line)
            if isinstance(line[1], RejectedRow):
                return
            yield f"{line[1]}\n"

    try:
        return next(csv.reader(lines(), delimiter=delimiter, strict=True), [])
    except (csv.Error, ValueError) as error:
        return RejectedRow(where, "bad_row", f"the line is not valid CSV: {error}")


def _parse_tsv(where: str, text: str) -> list[str] | RejectedRow:
    cells = text.split("\t")
    for place, cell in enumerate(cells):
        if re.fullmatch(r'"(?:[^"]|"")*"', cell):
            cells[place] = cell[1:-1].replace('""', '"')
        elif cell.startswith('"') and cell.count('"') % 2:
            return RejectedRow(where, "bad_row", f"cell {place + 1} has a quote that is not closed")
    return cells
