"""The condition of a replay, `--where`: one expression in SQL on a row's columns, true of the same rows for ever.

DuckDB's own parser says what it is made of: no second statement, no subquery, no function whose answer changes. It is
then evaluated in a database of its own, which has the candidates and can reach neither files nor the network.
"""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from app.errors import SetupError

_BATCH_ROWS = 10_000
_VOLATILE_PREFIXES = ("current_", "get_current_", "local")
"""How functions of the moment begin; some are written without parentheses, and then look like columns."""
_DATE_DEPENDENT_FUNCTIONS = {"age"}
"""Functions that are consistent, DuckDB says, and depend on the day."""
_REMEDY = "Write SQL on a row's columns, such as \"confidence < 0.9 AND version = '1'\"."
_SQL_ERRORS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
    duckdb.ParserException,
    duckdb.PermissionException,
)


def apply_where(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """Make the table `chosen` of the candidates (by `p_row`) for which the condition is true. Raises `SetupError`."""
    with duckdb.connect() as sandbox, connection.cursor() as cursor:
        sandbox.execute("SET TimeZone = 'UTC'; SET memory_limit = '200MB'; SET threads = 1")
        sandbox.execute("SET enable_external_access = FALSE; SET lock_configuration = TRUE")
        _check(sandbox, where)
        sandbox.register("candidates", cursor.sql("SELECT * FROM candidates").to_arrow_reader(_BATCH_ROWS))
        try:
            # In lines of its own: a comment ends before the parenthesis.
            chosen = sandbox.sql(f"SELECT p_row FROM candidates WHERE (\n{where}\n)").to_arrow_table()  # noqa: S608
        except _SQL_ERRORS as error:
            raise _invalid_where(where, str(error).splitlines()[0]) from error
    connection.register("found", chosen)
    connection.execute("CREATE TABLE chosen AS SELECT p_row FROM found")
    connection.unregister("found")


def _check(sandbox: duckdb.DuckDBPyConnection, where: str) -> None:
    changing = {
        name
        for (name,) in sandbox.execute(
            "SELECT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
        ).fetchall()
    } | _DATE_DEPENDENT_FUNCTIONS
    definitions = sandbox.execute(
        "SELECT function_name, macro_definition FROM duckdb_functions() WHERE function_type = 'macro'"
    ).fetchall()
    waiting, seen = [where], set[str]()
    while waiting:
        for part in _walk(_parse(sandbox, where, waiting.pop())):
            if part.get("class") == "SUBQUERY":
                raise _invalid_where(where, "it has a subquery")
            name = _name(part)
            if name in changing or name.startswith(_VOLATILE_PREFIXES):
                raise _invalid_where(where, f"{name} has another answer at another time")
            if part.get("class") == "FUNCTION" and name not in seen:
                seen.add(name)
                waiting += [definition for macro, definition in definitions if macro == name]


def _parse(sandbox: duckdb.DuckDBPyConnection, where: str, text: str) -> Any:
    """The condition as DuckDB parses it: what stands between `WHERE` and the end, and nothing behind it."""
    query = f"SELECT 1 FROM candidates WHERE {text}"  # noqa: S608
    [(said,)] = sandbox.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    parsed = json.loads(said)
    if parsed["error"]:
        raise _invalid_where(where, str(parsed["error_message"]).splitlines()[0])
    node, *others = [statement["node"] for statement in parsed["statements"]]
    rest = ("modifiers", "group_expressions", "group_sets", "having", "sample", "qualify")
    if others or node["type"] != "SELECT_NODE" or any(node[name] for name in rest):
        raise _invalid_where(where, "it is more than one expression")
    return node["where_clause"]


def _walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Every part of an expression."""
    if isinstance(tree, dict):
        yield tree
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _walk(inner)


def _name(part: dict[str, Any]) -> str:
    """What a function or a column is called; empty of any other part."""
    if part.get("class") == "COLUMN_REF":
        return str(part["column_names"][-1]).lower() if len(part["column_names"]) == 1 else ""
    return str(part.get("function_name", "")).lower()


def _invalid_where(where: str, reason: str) -> SetupError:
    return SetupError(f"--where {where!r} is no condition: {reason}", _REMEDY)
