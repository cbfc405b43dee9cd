"""The live Flink job of a task: one source, the requests topic, and three branches behind it.

1. Batches of requests go through one function without state: see `app.preprocess.functions`.
2. Requests that take long are kept as state until they are answered: see `app.preprocess.deferral`.
3. Chunks of live sessions (`ce_session`) are keyed by their session and go through a function with state: see
   `app.preprocess.sessions`.

Each task has its own job, so that no task waits for another.
"""

from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from app.events import topics
from app.kafka.connection import READ_COMMITTED, java_properties, java_system_properties
from app.kafka.lag import PREPROCESS_GROUP
from app.preprocess.deferral import DeferralFunction, deferral_key
from app.preprocess.flink_kafka import BYTES, read_batches, write_records
from app.preprocess.flink_options import cluster_options
from app.preprocess.functions import CHUNKS, DEFERRED, PreprocessFunction
from app.preprocess.mini_cluster import ClusterJob, FlinkCluster, flink_configuration
from app.preprocess.sessions.assembler import session_limits
from app.preprocess.sessions.checkpoints import recovery_options
from app.preprocess.sessions.process_function import SessionFunction, chunk_key
from app.settings import Settings
from app.system.pyflink import find_python_library
from models.base import Task


def start_live_job(settings: Settings, cluster: FlinkCluster, task: Task) -> ClusterJob:
    """Start the job that preprocesses every request of a task, from the committed offsets on. It never ends."""
    options = cluster_options(settings) | recovery_options(settings, task.name)
    environment = StreamExecutionEnvironment.get_execution_environment(flink_configuration(options))
    for name, value in java_system_properties(settings).items():
        get_gateway().jvm.java.lang.System.setProperty(name, value)
    max_message_bytes = str(topics.max_message_bytes(settings))
    source = java_properties(settings) | {
        # The committed offsets mark what was answered. Checkpointed state is never older than they are.
        "group.id": PREPROCESS_GROUP,
        "isolation.level": READ_COMMITTED,
        # Small batches, few of them in memory: the heap holds even records of the largest size, decompressed.
        "max.poll.records": "16",
        # About as much of a partition as one poll takes: while a rest is in memory, the consumer waits for the other
        # partitions, and new records of this one are not fetched until that wait ends. Larger records come one by one.
        "max.partition.fetch.bytes": "65536",
        "fetch.max.wait.ms": "200",
        "source.reader.element.queue.capacity": "1",
        "partition.discovery.interval.ms": "10000",
    }
    sink = java_properties(settings) | {
        "max.request.size": max_message_bytes,
        "linger.ms": "2",
        "compression.type": settings.compression,
        "delivery.timeout.ms": "120000",
    }
    function = PreprocessFunction(settings, task.name, serves_metrics=find_python_library() is not None)
    preprocessed = read_batches(environment, topics.requests(task.name), source).process(function, BYTES)
    deferred = preprocessed.get_side_output(DEFERRED).key_by(deferral_key, Types.STRING())
    answered = deferred.process(DeferralFunction(settings, task.name), BYTES).uid("deferred")
    chunks = preprocessed.get_side_output(CHUNKS).key_by(chunk_key, Types.STRING())
    limits = session_limits(settings, task)
    assembled = chunks.process(SessionFunction(settings, task.name, limits), BYTES).uid("sessions")
    # One sink per branch: a shared sink would be a Flink task of its own, and every record would be serialized for it.
    for outputs in (preprocessed, answered, assembled):
        write_records(outputs, sink)
    return cluster.submit(environment, options, f"hindsight-{task.name}")
