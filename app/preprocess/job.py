"""The Flink job over a task's requests topic: one source, and behind it three ways.

Requests go through one Table API function, without state. Those that take long are kept as state until they are
answered, see `app.preprocess.deferral`. Chunks of live sessions (`ce_session`) are keyed by their session and go
through a function with state, see `app.preprocess.sessions`. Each task has a job of its own: none waits for another's.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pyflink.common import Row, Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import DataTypes, EnvironmentSettings, StreamTableEnvironment, TableEnvironment
from pyflink.table.types import RowType
from pyflink.table.udf import TableFunction, udtf

from app.events import topics
from app.kafka.connection import READ_COMMITTED, java_properties
from app.kafka.lag import PREPROCESS_GROUP
from app.preprocess.deferral import DeferralFunction, deferral_key
from app.preprocess.flink_tls import tls_options
from app.preprocess.functions import PreprocessArchivedFunction, PreprocessFileFunction, PreprocessFunction
from app.preprocess.mini_cluster import ClusterJob, FlinkCluster, flink_configuration
from app.preprocess.py4j_gateway import is_on_cluster, launch_java
from app.preprocess.sessions.assembler import session_key, session_limits
from app.preprocess.sessions.checkpoints import recovery_options
from app.preprocess.sessions.process_function import SessionFunction
from app.settings import Settings
from app.system import jars
from app.system.pyflink import find_python_library, prepare_java
from models.base import Task

MAX_RESTARTS = 5
"""How often Flink restarts the job by itself: some seconds."""

_COLUMNS = "topic, `partition`, `offset`, logged, `key`, `value`, headers"

_CREATE_REQUESTS = """
CREATE TEMPORARY TABLE requests (
    `key` BYTES,
    `value` BYTES,
    topic STRING METADATA VIRTUAL,
    `partition` INT METADATA VIRTUAL,
    `offset` BIGINT METADATA VIRTUAL,
    logged TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
    headers MAP<STRING, BYTES> METADATA VIRTUAL
) WITH ({options})
"""

_CREATE_OUTPUTS = """
CREATE TEMPORARY TABLE {name} (
    `key` BYTES,
    `value` BYTES,
    topic STRING METADATA,
    headers MAP<STRING, BYTES> METADATA
) WITH ({options})
"""

OUTPUT_ROW = DataTypes.ROW(
    [
        DataTypes.FIELD("topic", DataTypes.STRING()),
        DataTypes.FIELD("key", DataTypes.BYTES()),
        DataTypes.FIELD("value", DataTypes.BYTES()),
        DataTypes.FIELD("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES())),
    ]
)

_STATE_COLUMNS = "topic, `partition`, `offset`, CAST(logged AS STRING) AS logged, `key`, `value`, headers"
_SELECT_CHUNKS = f"SELECT {_STATE_COLUMNS} FROM records WHERE headers['ce_session'] IS NOT NULL"  # noqa: S608
_SELECT_PREPROCESSED = (
    f"SELECT {_COLUMNS}, out_topic, out_key, out_value, out_headers FROM records, "  # noqa: S608
    f"LATERAL TABLE(preprocess({_COLUMNS})) AS made(out_topic, out_key, out_value, out_headers) "
    "WHERE headers['ce_session'] IS NULL"
)
_SELECT_DEFERRED = f"SELECT {_STATE_COLUMNS} FROM made WHERE out_topic = ''"  # noqa: S608

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
_OUTPUT_ROW_TYPE = Types.ROW_NAMED(
    ["topic", "key", "value", "headers"], [Types.STRING(), _BYTES, _BYTES, Types.MAP(Types.STRING(), _BYTES)]
)

BATCH_ROW = DataTypes.ROW(
    [
        DataTypes.FIELD("position", DataTypes.BIGINT()),
        DataTypes.FIELD("topic", DataTypes.STRING()),
        DataTypes.FIELD("key", DataTypes.BYTES()),
        DataTypes.FIELD("value", DataTypes.BYTES()),
        DataTypes.FIELD("headers", DataTypes.STRING()),
    ]
)


def cluster_options(settings: Settings) -> dict[str, str]:
    """Flink's configuration for this process's own mini-cluster."""
    thread_mode = find_python_library() is not None
    options = {
        "python.execution-mode": "thread" if thread_mode else "process",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        # Small bundles: an event waits at most this long for others before Python sees it (process mode).
        "python.fn-execution.bundle.time": "5",
        "python.fn-execution.bundle.size": "200",
        "execution.buffer-timeout.interval": "0 ms",
        "pipeline.object-reuse": "true",
        "parallelism.default": str(settings.parallelism),
        "execution.checkpointing.interval": f"{int(settings.checkpoint_seconds * 1000)} ms",
        "execution.checkpointing.mode": "AT_LEAST_ONCE",
        # A fault that may pass (the broker away) is retried; offsets were committed at the last checkpoint.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "10 s",
        # A job that fails so often on end has FAILED: it may be for a record that it can't read.
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(MAX_RESTARTS),
        "table.local-time-zone": "UTC",
        # What is kept as state (open sessions, deferred payloads) lies on disk, not in the heap.
        "state.backend.type": "rocksdb",
        "execution.checkpointing.incremental": "true",
        "io.tmp.dirs": str(_scratch_directory(settings)),
        "taskmanager.memory.managed.size": "32m" if thread_mode else "96m",
        "taskmanager.memory.network.min": "16m",
        "taskmanager.memory.network.max": "16m",
    }
    if is_on_cluster():
        options["pipeline.jars"] = ";".join(path.as_uri() for path in jars.flink_classpath())
    return options | tls_options(settings)


def _scratch_directory(settings: Settings) -> Path:
    """Where Flink keeps what no restart needs."""
    directory = settings.home.resolve() / "preprocess" / "scratch"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def start_live_job(settings: Settings, cluster: FlinkCluster, task: Task) -> ClusterJob:
    """Start the job that preprocesses every request of a task, from the committed offsets on, for ever."""
    options = cluster_options(settings) | recovery_options(settings, task.name)
    environment = StreamExecutionEnvironment.get_execution_environment(flink_configuration(options))
    table = StreamTableEnvironment.create(environment)
    function = PreprocessFunction(settings, task.name, serves_metrics=find_python_library() is not None)
    register_function(table, function, OUTPUT_ROW)
    largest = str(topics.max_message_bytes(settings))
    common = {"connector": "kafka"} | {f"properties.{name}": value for name, value in java_properties(settings).items()}
    common |= {"key.format": "raw", "key.fields": "key", "value.format": "raw", "value.fields-include": "EXCEPT_KEY"}
    source = common | {
        "topic": topics.requests(task.name),
        "properties.group.id": PREPROCESS_GROUP,
        "properties.isolation.level": READ_COMMITTED,
        # What was answered is what the group has committed. What is kept as state is never older than that.
        "scan.startup.mode": "group-offsets",
        "properties.auto.offset.reset": "earliest",
        "properties.max.partition.fetch.bytes": largest,
        "properties.fetch.max.wait.ms": "50",
        # Small batches, few of them in hand: records of the largest size that came compressed fit into the heap.
        "properties.max.poll.records": "16",
        "properties.source.reader.element.queue.capacity": "1",
        "scan.topic-partition-discovery.interval": "10 s",
    }
    answers = [kind(task.name) for kind in (topics.requests, topics.features, topics.predictions)]
    sink = common | {
        "topic": ";".join([*answers, topics.DEAD_LETTERS]),
        "sink.delivery-guarantee": "at-least-once",
        "properties.max.request.size": largest,
        "properties.linger.ms": "2",
        "properties.delivery.timeout.ms": "120000",
    }
    table.execute_sql(_CREATE_REQUESTS.format(options=_sql_options(source)))
    # A sink for each way: one for all would be a task of its own, and every record would be serialized for it.
    for name in ("outputs", "deferred_outputs", "session_outputs"):
        table.execute_sql(_CREATE_OUTPUTS.format(name=name, options=_sql_options(sink)))

    def stream(query: str) -> DataStream:
        return table.to_data_stream(table.sql_query(query))

    # Through a stream and back, so that all ways share one source: two would read, and commit, everything twice.
    table.create_temporary_view("records", stream(f"SELECT {_COLUMNS} FROM requests"))  # noqa: S608
    table.create_temporary_view("made", stream(_SELECT_PREPROCESSED))
    deferred = stream(_SELECT_DEFERRED).key_by(deferral_key, Types.STRING())
    answered = deferred.process(DeferralFunction(settings, task.name), _OUTPUT_ROW_TYPE).uid("deferred")
    table.create_temporary_view("answered", answered)
    chunks = stream(_SELECT_CHUNKS).key_by(lambda row: session_key(row["topic"], row["headers"]), Types.STRING())
    assembled = chunks.process(
        SessionFunction(settings, task.name, session_limits(settings, task)), _OUTPUT_ROW_TYPE
    ).uid("sessions")
    table.create_temporary_view("assembled", assembled)
    statements = table.create_statement_set()
    statements.add_insert_sql(
        "INSERT INTO outputs SELECT out_key, out_value, out_topic, out_headers FROM made WHERE out_topic <> ''"
    )
    for sink_name, view in (("deferred_outputs", "answered"), ("session_outputs", "assembled")):
        statements.add_insert_sql(f"INSERT INTO {sink_name} SELECT `key`, `value`, topic, headers FROM {view}")  # noqa: S608
    statements.attach_as_datastream()
    return cluster.submit(environment, options, f"hindsight-{task.name}")


def run_file_job(settings: Settings, task: Task, uris: Sequence[str], batch_id: str, directory: Path) -> Iterator[Row]:
    """Preprocess the payloads behind the URIs; rows (position, topic, key, value, headers) as they are made.

    `directory` holds the list while the job runs.
    """
    listed = directory / "uris.jsonl"
    with listed.open("w") as file:
        file.writelines(json.dumps({"position": position, "uri": uri}) + "\n" for position, uri in enumerate(uris))
    return _run_bounded(
        settings,
        PreprocessFileFunction(settings, task.name, batch_id, task.max_payload_bytes),
        {"uri": "STRING"},
        listed,
    )


def run_archive_job(settings: Settings, task: Task, listed: Path) -> Iterator[Row]:
    """Preprocess requests of the archive, rows as in `batch`.

    `listed` has a JSON object in each line: `position`, the record's `value` in base64, its `headers` as JSON.
    """
    columns = {"value": "BYTES", "headers": "STRING"}
    return _run_bounded(settings, PreprocessArchivedFunction(settings, task.name), columns, listed)


def _run_bounded(
    settings: Settings, function: TableFunction, columns: Mapping[str, str], listed: Path
) -> Iterator[Row]:
    prepare_java(settings)
    launch_java()
    builder = EnvironmentSettings.new_instance().with_configuration(flink_configuration(cluster_options(settings)))
    table = TableEnvironment.create(builder.in_batch_mode().build())
    register_function(table, function, BATCH_ROW)
    options = {"connector": "filesystem", "path": listed.as_uri(), "format": "json"}
    declared = ", ".join(f"`{name}` {kind}" for name, kind in columns.items())
    table.execute_sql(f"CREATE TEMPORARY TABLE listed (`position` BIGINT, {declared}) WITH ({_sql_options(options)})")
    outputs = ", ".join(f"out_{field.name}" for field in BATCH_ROW.fields)
    inputs = ", ".join(f"`{name}`" for name in ("position", *columns))
    result = table.execute_sql(
        f"SELECT {outputs} FROM listed, LATERAL TABLE(preprocess({inputs})) AS made({outputs})"  # noqa: S608
    )
    with result.collect() as rows:
        yield from rows


def register_function(table: TableEnvironment, function: TableFunction, row: RowType) -> None:
    """Make the preprocessing function known as `preprocess`."""
    table.create_temporary_function(
        "preprocess", udtf(function, result_types=[field.data_type for field in row.fields])
    )


def _sql_options(options: Mapping[str, str]) -> str:
    quoted = {name: value.replace("'", "''") for name, value in options.items()}
    return ", ".join(f"'{name}' = '{value}'" for name, value in quoted.items())
