"""The Flink jobs over bounded input: the files of a batch, and the requests of the archive."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pyflink.common import Row
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import TableFunction

from app.events.payload import max_claimed_bytes
from app.preprocess.flink_options import cluster_options
from app.preprocess.flink_tables import register_function, sql_options
from app.preprocess.functions import PreprocessArchivedFunction, PreprocessFileFunction
from app.preprocess.mini_cluster import flink_configuration
from app.preprocess.py4j_gateway import launch_java
from app.settings import Settings
from app.system.pyflink import prepare_java
from models.base import Task

BATCH_ROW = DataTypes.ROW(
    [
        DataTypes.FIELD("position", DataTypes.BIGINT()),
        DataTypes.FIELD("topic", DataTypes.STRING()),
        DataTypes.FIELD("key", DataTypes.BYTES()),
        DataTypes.FIELD("value", DataTypes.BYTES()),
        DataTypes.FIELD("headers", DataTypes.STRING()),
    ]
)


def run_file_job(settings: Settings, task: Task, uris: Sequence[str], batch_id: str, directory: Path) -> Iterator[Row]:
    """Preprocess the payloads at the URIs and yield the rows (position, topic, key, value, headers).

    `directory` holds the list of URIs while the job runs.
    """
    listing = directory / "uris.jsonl"
    with listing.open("w") as file:
        file.writelines(json.dumps({"position": position, "uri": uri}) + "\n" for position, uri in enumerate(uris))
    return _run_bounded(
        settings,
        PreprocessFileFunction(settings, task.name, batch_id, max_claimed_bytes(settings, task)),
        {"uri": "STRING"},
        listing,
    )


def run_archive_job(settings: Settings, task: Task, listing: Path) -> Iterator[Row]:
    """Preprocess requests of the archive and yield rows like those of `run_file_job`.

    Each line of `listing` is a JSON object: `position`, the record's `value` in base64, and its `headers` as JSON.
    """
    columns = {"value": "BYTES", "headers": "STRING"}
    return _run_bounded(settings, PreprocessArchivedFunction(settings, task.name), columns, listing)


def _run_bounded(
    settings: Settings, function: TableFunction, columns: Mapping[str, str], listing: Path
) -> Iterator[Row]:
    prepare_java(settings)
    launch_java()
    builder = EnvironmentSettings.new_instance().with_configuration(flink_configuration(cluster_options(settings)))
    table = TableEnvironment.create(builder.in_batch_mode().build())
    register_function(table, function, BATCH_ROW)
    options = {"connector": "filesystem", "path": listing.as_uri(), "format": "json"}
    declarations = ", ".join(f"`{name}` {sql_type}" for name, sql_type in columns.items())
    table.execute_sql(
        f"CREATE TEMPORARY TABLE listed (`position` BIGINT, {declarations}) WITH ({sql_options(options)})"
    )
    outputs = ", ".join(f"out_{field.name}" for field in BATCH_ROW.fields)
    inputs = ", ".join(f"`{name}`" for name in ("position", *columns))
    result = table.execute_sql(
        f"SELECT {outputs} FROM listed, LATERAL TABLE(preprocess({inputs})) AS preprocessed({outputs})"  # noqa: S608
    )
    with result.collect() as rows:
        yield from rows
