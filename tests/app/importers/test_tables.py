"""Rows of JSONL and CSV: a broken one is named by its line, and takes no other with it."""

import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.importers import example
from app.importers.example import RejectedRow
from app.importers.tables import TableRow, read_csv, read_jsonl

lines = st.binary(max_size=40).map(lambda line: line.replace(b"\n", b" ").replace(b"\r", b" "))
rows = st.lists(st.one_of(lines, st.integers(0, 9)), max_size=20)
"""Whatever a line may hold; a number stands for a good line."""


def read(given: Iterable[bytes], reader: object = read_jsonl) -> list[TableRow]:
    return list(reader(iter(given), "rows"))  # type: ignore[operator]


@given(rows)
def test_of_jsonl_no_broken_line_takes_a_good_one_with_it(mixed: list[bytes | int]) -> None:
    written = [one if isinstance(one, bytes) else json.dumps({"n": one}).encode() for one in mixed]
    good = {f"rows:{number}": one for number, one in enumerate(mixed, start=1) if isinstance(one, int)}
    found = dict(read(line + b"\n" for line in written))
    assert {where: row for where, row in found.items() if where in good} == {w: {"n": n} for w, n in good.items()}


@given(rows)
def test_of_csv_no_broken_line_takes_a_good_one_with_it(mixed: list[bytes | int]) -> None:
    written = [b"n,text", *(one if isinstance(one, bytes) else f'{one},"a, ""b"""'.encode() for one in mixed)]
    good = {f"rows:{number}": one for number, one in enumerate(mixed, start=2) if isinstance(one, int)}
    found = dict(read((line + b"\n" for line in written), read_csv))
    wanted = {where: {"n": str(number), "text": 'a, "b"'} for where, number in good.items()}
    assert {where: row for where, row in found.items() if where in good} == wanted


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
def test_a_line_that_is_no_object_is_unusable(line: bytes, code: str) -> None:
    [(where, row)] = read([line])
    assert isinstance(row, RejectedRow)
    assert (row.where, row.code) == (where, code) == ("rows:1", code)


@pytest.mark.parametrize("line", [b'"open,1', b"1", b"1,2,3", b'"a"b,1', b"a\0,"])
def test_a_line_that_is_no_row_of_the_table_is_unusable(line: bytes) -> None:
    (_, row), (_, good) = read([b"a,b\n", line + b"\n", b"1,2\n"], read_csv)
    assert isinstance(row, RejectedRow) or b"\0" in line
    assert good == {"a": "1", "b": "2"}


def test_a_mark_of_byte_order_and_blank_lines_are_no_content() -> None:
    assert read([b"\xef\xbb\xbfa,b\r\n", b"\r\n", b"1,2\r\n"], read_csv) == [("rows:3", {"a": "1", "b": "2"})]


def test_a_line_that_is_too_long_is_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "MAX_LINE", 20)

    def given_lines() -> Iterator[bytes]:
        yield b'{"a": "aaaaaaaaaaaaaaaaaaaaa"}'
        yield b'{"a": 1}'

    (_, long), (_, short) = read(given_lines())
    assert isinstance(long, RejectedRow)
    assert long.code == "too_long"
    assert short == {"a": 1}
