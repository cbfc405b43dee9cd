"""The condition of a replay, `--where`: one SQL expression on a row's columns, always true of the same rows.

DuckDB's parser checks it: no second statement, no subquery, no function with a changing result. It is then evaluated in
a separate database, which contains the candidates and cannot reach files or the network.
"""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from app.errors import SetupError

_BATCH_ROWS = 10_000
_VOLATILE_PREFIXES = ("current_", "get_current_", "local")
"""Prefixes of functions that depend on the current time; without parentheses some look like columns."""
_DATE_DEPENDENT_FUNCTIONS = {"age"}
"""Functions that DuckDB declares consistent although they depend on the date."""
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
    """Create the table `selected` of the candidates (by `p_row`) that meet the condition. Raises `SetupError`."""
    with duckdb.connect() as sandbox, connection.cursor() as cursor:
        sandbox.execute("SET TimeZone = 'UTC'; SET memory_limit = '200MB'; SET threads = 1")
        sandbox.execute("SET enable_external_access = FALSE; SET lock_configuration = TRUE")
        _check(sandbox, where)
        sandbox.register("candidates", cursor.sql("SELECT * FROM candidates").to_arrow_reader(_BATCH_ROWS))
        try:
            # On its own line, so that a comment ends before the parenthesis.
            matches = sandbox.sql(f"SELECT p_row FROM candidates WHERE (\n{where}\n)").to_arrow_table()  # noqa: S608
        except _SQL_ERRORS as error:
            raise _invalid_where(where, str(error).splitlines()[0]) from error
    connection.register("matches", matches)
    connection.execute("CREATE TABLE selected AS SELECT p_row FROM matches")
    connection.unregister("matches")


def _check(sandbox: duckdb.DuckDBPyConnection, where: str) -> None:
    volatile = {
        name
        for (name,) in sandbox.execute(
            "SELECT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
        ).fetchall()
    } | _DATE_DEPENDENT_FUNCTIONS
    definitions = sandbox.execute(
        "SELECT function_name, macro_definition FROM duckdb_functions() WHERE function_type = 'macro'"
    ).fetchall()
    expressions, checked_macros = [where], set[str]()
    while expressions:
        for node in _walk(_parse(sandbox, where, expressions.pop())):
            if node.get("class") == "SUBQUERY":
                raise _invalid_where(where, "it has a subquery")
            name = _name(node)
            if name in volatile or name.startswith(_VOLATILE_PREFIXES):
                raise _invalid_where(where, f"the result of {name} changes with time")
            if node.get("class") == "FUNCTION" and name not in checked_macros:
                checked_macros.add(name)
                expressions += [definition for macro, definition in definitions if macro == name]


def _parse(sandbox: duckdb.DuckDBPyConnection, where: str, text: str) -> Any:
    """Return the parsed condition. Raises `SetupError` if the text is more than one expression."""
    query = f"SELECT 1 FROM candidates WHERE {text}"  # noqa: S608
    [(syntax_tree,)] = sandbox.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    parsed = json.loads(syntax_tree)
    if parsed["error"]:
        raise _invalid_where(where, str(parsed["error_message"]).splitlines()[0])
    node, *others = [statement["node"] for statement in parsed["statements"]]
    clauses = ("modifiers", "group_expressions", "group_sets", "having", "sample", "qualify")
    if others or node["type"] != "SELECT_NODE" or any(node[name] for name in clauses):
        raise _invalid_where(where, "it is more than one expression")
    return node["where_clause"]


def _walk(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of an expression."""
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _walk(child)


def _name(node: dict[str, Any]) -> str:
    """Return the name of a function or a column; an empty string for other nodes."""
    if node.get("class") == "COLUMN_REF":
        return str(node["column_names"][-1]).lower() if len(node["column_names"]) == 1 else ""
    return str(node.get("function_name", "")).lower()


def _invalid_where(where: str, reason: str) -> SetupError:
    return SetupError(f"--where {where!r} is not a valid condition: {reason}", _REMEDY)
