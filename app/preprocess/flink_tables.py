"""Helpers for Flink's Table API, for the live and the bounded jobs."""

from collections.abc import Mapping

from pyflink.table import TableEnvironment
from pyflink.table.types import RowType
from pyflink.table.udf import TableFunction, udtf


def register_function(table: TableEnvironment, function: TableFunction, row: RowType) -> None:
    """Register the preprocessing function as `preprocess`."""
    table.create_temporary_function(
        "preprocess", udtf(function, result_types=[field.data_type for field in row.fields])
    )


def sql_options(options: Mapping[str, str]) -> str:
    """Return the options as the body of SQL's `WITH (...)`."""
    quoted = {name: value.replace("'", "''") for name, value in options.items()}
    return ", ".join(f"'{name}' = '{value}'" for name, value in quoted.items())
