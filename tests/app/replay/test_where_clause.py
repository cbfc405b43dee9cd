"""`--where` selects rows, and nothing else: no file, no second statement, no result that changes with time."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from app.errors import SetupError
from app.replay.where_clause import apply_where


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            """CREATE TABLE candidates AS SELECT * FROM (VALUES
            (0, '1', 0.4, '{"text": "a"}', ['ada'], TIMESTAMPTZ '2026-01-31 12:00:00Z'),
            (1, '2', 0.9, '{"text": "b"}', ['bob', 'ada'], TIMESTAMPTZ '2026-02-01 12:00:00Z'),
            (2, '2', NULL, '{"text": "c"}', NULL, TIMESTAMPTZ '2026-02-02 12:00:00Z')
            ) AS t(p_row, version, confidence, output, actors, "time")"""
        )
        yield connection


def select(connection: duckdb.DuckDBPyConnection, where: str) -> list[int]:
    apply_where(connection, where)
    return [row for (row,) in connection.execute("SELECT p_row FROM selected ORDER BY 1").fetchall()]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("confidence < 0.5 AND version = '1'", [0]),
        ("confidence IS NULL OR version IN ('1')", [0, 2]),
        ("output->>'text' = 'b'", [1]),
        ("json_extract_string(output, '$.text') LIKE '%c%'", [2]),
        ("list_contains(actors, 'ada') AND len(actors) > 1", [1]),
        ("\"time\" >= TIMESTAMPTZ '2026-02-01' -- of February", [1, 2]),
        ("extract(month FROM time) = 1", [0]),
        ("list_sum(list_transform([1, 2], lambda x: x + 1)) = 5 AND nullif(version, '1') IS NULL", [0]),
        ("TRUE", [0, 1, 2]),
        ("version = 'a;b)'", []),
    ],
)
def test_a_condition_is_any_expression_on_a_rows_columns(
    connection: duckdb.DuckDBPyConnection, where: str, rows: list[int]
) -> None:
    assert select(connection, where) == rows


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("random() < 0.5", "the result of random changes with time"),
        ("uuid() > 'a'", "the result of uuid changes with time"),
        ("now() > time", "the result of now changes with time"),
        ("time < current_timestamp", "the result of current_timestamp changes with time"),
        ("time::DATE < CURRENT_DATE", "the result of current_date changes with time"),
        ("time < localtimestamp", "the result of localtimestamp changes with time"),
        ("age(time) > INTERVAL 1 DAY", "the result of age changes with time"),
        ("time > ago('1 day')", "the result of current_timestamp changes with time"),
        ("list_transform([1], lambda x: random())[1] > 0.5", "the result of random changes with time"),
        ("current_setting('memory_limit') = '1'", "the result of current_setting changes with time"),
        ("(SELECT count(*) FROM read_csv('/etc/passwd')) > 0", "it has a subquery"),
        ("p_row IN (SELECT p_row FROM candidates)", "it has a subquery"),
        ("EXISTS (FROM read_text('/etc/passwd'))", "it has a subquery"),
        ("TRUE); COPY (SELECT 1) TO '/tmp/x'; SELECT (1", "syntax error"),
        ("TRUE; SELECT 1", "is not a valid condition"),
        ("TRUE) OR (TRUE", "syntax error"),
        ("TRUE LIMIT 1", "more than one expression"),
        ("TRUE ORDER BY random()", "more than one expression"),
        ("TRUE GROUP BY p_row", "more than one expression"),
        ("TRUE UNION SELECT 1", "more than one expression"),
        ("TRUE QUALIFY row_number() OVER () = 1", "more than one expression"),
        ("TRUE USING SAMPLE 1", "more than one expression"),
        ("read_text('/etc/passwd') = 'x'", "is not a valid condition"),
        ("colour = 'red'", "colour"),
        ("version::INTEGER = 'x'::INTEGER", "x"),
        ("", "syntax error"),
        ("'a'", "is not a valid condition"),
    ],
)
def test_a_condition_that_is_not_one_stable_expression_is_rejected(
    connection: duckdb.DuckDBPyConnection, where: str, reason: str
) -> None:
    with pytest.raises(SetupError, match="is not a valid condition") as caught:
        apply_where(connection, where)
    assert reason in str(caught.value)


def test_the_database_that_evaluates_a_condition_reaches_no_file(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("app.replay.where_clause._check", lambda *_: None)
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(SetupError, match="disabled"):
        apply_where(connection, f"(SELECT count(*) FROM read_csv('{tmp_path}/secret.csv')) > 0")
    with pytest.raises(SetupError, match="is not a valid condition"):
        apply_where(connection, "TRUE); SET enable_external_access = TRUE; SELECT (1")
