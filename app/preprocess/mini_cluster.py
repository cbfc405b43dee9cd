"""Flink's mini-cluster of the `preprocess` process, in which all tasks' jobs run.

PyFlink would start a cluster per job. One for all needs its memory, threads and ports only once.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from pyflink.common import Configuration, JobClient
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import add_jars_to_context_class_loader

from app.preprocess.java_classes import flink_classpath
from app.preprocess.py4j_gateway import is_on_cluster


class ClusterJob(Protocol):
    """A submitted job. Its methods raise Py4JError or OSError if the Java process is gone."""

    def status(self) -> str:
        """Return the name of Flink's JobStatus."""

    def cancel(self) -> None:
        """End the job."""


class FlinkCluster:
    """A running cluster with `slots` slots. If `flink run` started this process: the cluster that it named."""

    def __init__(self, options: Mapping[str, str], slots: int) -> None:
        self._java = get_gateway().jvm
        if is_on_cluster():
            add_jars_to_context_class_loader([path.as_uri() for path in flink_classpath()])
        self._cluster = None if is_on_cluster() else self._start(options, slots)

    def _start(self, options: Mapping[str, str], slots: int) -> Any:
        runtime = self._java.org.apache.flink.runtime.minicluster
        builder = runtime.MiniClusterConfiguration.Builder()
        builder.setConfiguration(flink_configuration(options)._j_configuration)
        builder.setNumTaskManagers(1).setNumSlotsPerTaskManager(slots)
        cluster = runtime.MiniCluster(builder.build())
        cluster.start()
        return cluster

    def submit(self, environment: StreamExecutionEnvironment, options: Mapping[str, str], name: str) -> ClusterJob:
        """Start the pipeline that was defined in an environment as a job."""
        if self._cluster is None:
            return _RemoteJob(environment.execute_async(name))
        graph = environment._generate_stream_graph(clear_transformations=True, job_name=name)
        utils = self._java.org.apache.flink.client.deployment.executors.PipelineExecutorUtils
        graph = utils.getStreamGraph(graph, flink_configuration(options)._j_configuration)
        return _LocalJob(self._cluster, self._cluster.submitJob(graph).get().getJobID())


class _LocalJob:
    def __init__(self, cluster: Any, job_id: Any) -> None:
        self._cluster = cluster
        self._id = job_id

    def __str__(self) -> str:
        return str(self._id.toString())

    def status(self) -> str:
        return str(self._cluster.getJobStatus(self._id).get().name())

    def cancel(self) -> None:
        self._cluster.cancelJob(self._id).get()


class _RemoteJob:
    def __init__(self, client: JobClient) -> None:
        self._client = client

    def __str__(self) -> str:
        return str(self._client.get_job_id())

    def status(self) -> str:
        return str(self._client.get_job_status().result().name)

    def cancel(self) -> None:
        self._client.cancel().result()


def flink_configuration(options: Mapping[str, str]) -> Configuration:
    """Return the options as Flink's `Configuration`."""
    configuration = Configuration()
    for name, value in options.items():
        configuration.set_string(name, value)
    return configuration
