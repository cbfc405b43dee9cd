"""The live Flink job of a task: one source, the requests topic, and three branches behind it.

1. Requests go through one Table API function without state.
2. Requests that take long are kept as state until they are answered: see `app.preprocess.deferral`.
3. Chunks of live sessions (`ce_session`) are keyed by their session and go through a function with state: see
   `app.preprocess.sessions`.

Each task has its own job, so that no task waits for another.
"""

from pyflink.common import Types
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.table import DataTypes, StreamTableEnvironment

from app.events import topics
from app.kafka.connection import READ_COMMITTED, java_properties
from app.kafka.lag import PREPROCESS_GROUP
from app.preprocess.deferral import DeferralFunction, deferral_key
from app.preprocess.flink_options import cluster_options
from app.preprocess.flink_tables import register_function, sql_options
from app.preprocess.functions import PreprocessFunction
from app.preprocess.mini_cluster import ClusterJob, FlinkCluster, flink_configuration
from app.preprocess.sessions.assembler import session_limits
from app.preprocess.sessions.checkpoints import recovery_options
from app.preprocess.sessions.chunk_headers import session_key
from app.preprocess.sessions.process_function import SessionFunction
from app.settings import Settings
from app.system.pyflink import find_python_library
from models.base import Task

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
    f"LATERAL TABLE(preprocess({_COLUMNS})) AS preprocessed(out_topic, out_key, out_value, out_headers) "
    "WHERE headers['ce_session'] IS NULL"
)
_SELECT_DEFERRED = f"SELECT {_STATE_COLUMNS} FROM preprocessed WHERE out_topic = ''"  # noqa: S608

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
_OUTPUT_ROW_TYPE = Types.ROW_NAMED(
    ["topic", "key", "value", "headers"], [Types.STRING(), _BYTES, _BYTES, Types.MAP(Types.STRING(), _BYTES)]
)


def start_live_job(settings: Settings, cluster: FlinkCluster, task: Task) -> ClusterJob:
    """Start the job that preprocesses every request of a task, from the committed offsets on. It never ends."""
    options = cluster_options(settings) | recovery_options(settings, task.name)
    environment = StreamExecutionEnvironment.get_execution_environment(flink_configuration(options))
    table = StreamTableEnvironment.create(environment)
    function = PreprocessFunction(settings, task.name, serves_metrics=find_python_library() is not None)
    register_function(table, function, OUTPUT_ROW)
    max_message_bytes = str(topics.max_message_bytes(settings))
    common = {"connector": "kafka"} | {f"properties.{name}": value for name, value in java_properties(settings).items()}
    common |= {"key.format": "raw", "key.fields": "key", "value.format": "raw", "value.fields-include": "EXCEPT_KEY"}
    source = common | {
        "topic": topics.requests(task.name),
        "properties.group.id": PREPROCESS_GROUP,
        "properties.isolation.level": READ_COMMITTED,
        # The committed offsets mark what was answered. Checkpointed state is never older than they are.
        "scan.startup.mode": "group-offsets",
        "properties.auto.offset.reset": "earliest",
        "properties.max.partition.fetch.bytes": max_message_bytes,
        "properties.fetch.max.wait.ms": "50",
        # Small batches, few of them in memory: the heap holds even records of the largest size, decompressed.
        "properties.max.poll.records": "16",
        "properties.source.reader.element.queue.capacity": "1",
        "scan.topic-partition-discovery.interval": "10 s",
    }
    output_topics = [topic_of(task.name) for topic_of in (topics.requests, topics.features, topics.predictions)]
    sink = common | {
        "topic": ";".join([*output_topics, topics.DEAD_LETTERS]),
        "sink.delivery-guarantee": "at-least-once",
        "properties.max.request.size": max_message_bytes,
        "properties.linger.ms": "2",
        "properties.delivery.timeout.ms": "120000",
    }
    table.execute_sql(_CREATE_REQUESTS.format(options=sql_options(source)))
    # One sink per branch: a shared sink would be a Flink task of its own, and every record would be serialized for it.
    for name in ("outputs", "deferred_outputs", "session_outputs"):
        table.execute_sql(_CREATE_OUTPUTS.format(name=name, options=sql_options(sink)))

    def stream(query: str) -> DataStream:
        return table.to_data_stream(table.sql_query(query))

    # Through a stream and back, so that the branches share one source: two would read and commit everything twice.
    table.create_temporary_view("records", stream(f"SELECT {_COLUMNS} FROM requests"))  # noqa: S608
    table.create_temporary_view("preprocessed", stream(_SELECT_PREPROCESSED))
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
        "INSERT INTO outputs SELECT out_key, out_value, out_topic, out_headers FROM preprocessed WHERE out_topic <> ''"
    )
    for sink_name, view in (("deferred_outputs", "answered"), ("session_outputs", "assembled")):
        statements.add_insert_sql(f"INSERT INTO {sink_name} SELECT `key`, `value`, topic, headers FROM {view}")  # noqa: S608
    statements.attach_as_datastream()
    return cluster.submit(environment, options, f"hindsight-{task.name}")
