"""Rows of JSONL and CSV: a broken row is rejected with its line number and affects no other."""

import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.importers import text
from app.importers.example import RejectedRow
from app.importers.tables import TableRow, read_csv, read_jsonl, read_tsv, rename_columns
from models.base import Rejected

lines = st.binary(max_size=40).map(lambda line: line.replace(b"\n", b" ").replace(b"\r", b" "))
rows = st.lists(st.one_of(lines, st.integers(0, 9)), max_size=20)
"""Arbitrary lines; a number stands for a valid line."""


def read(file_lines: Iterable[bytes], reader: object = read_jsonl) -> list[TableRow]:
    return list(reader(iter(file_lines), "rows"))  # type: ignore[operator]


@given(rows)
def test_a_broken_line_of_jsonl_affects_no_valid_line(mixed: list[bytes | int]) -> None:
    file_lines = [line if isinstance(line, bytes) else json.dumps({"n": line}).encode() for line in mixed]
    expected = {f"rows:{number}": {"n": line} for number, line in enumerate(mixed, start=1) if isinstance(line, int)}
    read_rows = dict(read(line + b"\n" for line in file_lines))
    assert {where: row for where, row in read_rows.items() if where in expected} == expected


@given(rows)
def test_a_broken_line_of_csv_affects_no_valid_line(mixed: list[bytes | int]) -> None:
    file_lines = [b"n,text"]
    file_lines += [line if isinstance(line, bytes) else f'{line},"a, ""b"""'.encode() for line in mixed]
    expected = {
        f"rows:{number}": {"n": str(line), "text": 'a, "b"'}
        for number, line in enumerate(mixed, start=2)
        if isinstance(line, int)
    }
    read_rows = dict(read((line + b"\n" for line in file_lines), read_csv))
    assert {where: row for where, row in read_rows.items() if where in expected} == expected


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{", "not_json"),
        (b"[1]", "bad_value"),
        (b'{"a": NaN}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"a": "\xff"}', "not_utf8"),
    ],
)
def test_a_line_that_is_not_a_json_object_is_rejected(line: bytes, code: str) -> None:
    [(where, row)] = read([line])
    assert isinstance(row, RejectedRow)
    assert (row.where, row.code) == (where, code) == ("rows:1", code)


@pytest.mark.parametrize("line", [b'"open,1', b"1", b"1,2,3", b'"a"b,1', b"a\0,"])
def test_a_line_that_is_not_a_row_of_the_table_is_rejected(line: bytes) -> None:
    (_, row), (_, valid) = read([b"a,b\n", line + b"\n", b"1,2\n"], read_csv)
    assert isinstance(row, RejectedRow) or b"\0" in line
    assert valid == {"a": "1", "b": "2"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_first_line_says_what_separates_the_cells(delimiter: str) -> None:
    lines = [f'a{delimiter}"b, c;d"\n', f'1{delimiter}"x, y;{delimiter}"\n']
    assert read([line.encode() for line in lines], read_csv) == [("rows:2", {"a": "1", "b, c;d": f"x, y;{delimiter}"})]


def test_the_first_line_of_excel_says_what_separates_the_cells() -> None:
    assert read([b"sep=|\n", b"a|b\n", b"1|2\n"], read_csv) == [("rows:3", {"a": "1", "b": "2"})]


def test_a_quoted_cell_may_have_line_breaks() -> None:
    lines = [b"a,b\n", b'1,"x\r\n', b"\r\n", b'""y"""\r\n', b"2,z\n"]
    assert read(lines, read_csv) == [("rows:2", {"a": "1", "b": 'x\n\n"y"'}), ("rows:5", {"a": "2", "b": "z"})]


def test_a_quote_that_nobody_closes_rejects_its_line_alone() -> None:
    result = read([b"a,b\n", b'1,"x\n', *(b"2,z\n" for _ in range(300))], read_csv)
    assert [type(row) for _, row in result] == [RejectedRow, *[dict] * 300]


def test_a_column_without_a_name_is_left_out() -> None:
    assert read([b",a\n", b"0,1\n"], read_csv) == [("rows:2", {"a": "1"})]


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(Rejected, match="more than once"):
        read([b"a,label,label\n", b"1,2,3\n"], read_csv)


@pytest.mark.parametrize(
    ("cell", "text"),
    [('"a ""b"" c"', 'a "b" c'), ('"a," he said', '"a," he said'), ('5" wide', '5" wide'), ('"open', None)],
)
def test_a_cell_of_tsv_is_quoted_as_a_whole_or_its_quotes_are_text(cell: str, text: str | None) -> None:
    (_, row), (_, last) = read([b"a\tb\n", f"{cell}\t1\n".encode(), b"2\t3\n"], read_tsv)
    assert (None if isinstance(row, RejectedRow) else row["a"]) == text
    assert last == {"a": "2", "b": "3"}


def test_a_renamed_column_takes_the_place_of_another_of_its_new_name() -> None:
    rows: list[TableRow] = [("x:1", {"text": "1", "label": "2", "path": "a"})]
    assert list(rename_columns(rows, {"text": "label"})) == [("x:1", {"path": "a", "label": "1"})]


def test_a_byte_order_mark_and_blank_lines_are_ignored() -> None:
    assert read([b"\xef\xbb\xbfa,b\r\n", b"\r\n", b"1,2\r\n"], read_csv) == [("rows:3", {"a": "1", "b": "2"})]


def test_a_line_that_is_too_long_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_LINE", 20)

    def file_lines() -> Iterator[bytes]:
        yield b'{"a": "aaaaaaaaaaaaaaaaaaaaa"}'
        yield b'{"a": 1}'

    (_, long), (_, short) = read(file_lines())
    assert isinstance(long, RejectedRow)
    assert long.code == "too_long"
    assert short == {"a": 1}
