"""Flink's mini-cluster of the `preprocess` process: one, in which each task's job runs.

PyFlink would start a cluster for each job. Here it costs its memory, its threads and its ports once.
"""

from collections.abc import Mapping
from typing import Any

from pyflink.common import Configuration
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway


class Cluster:
    """A running cluster with so many slots. Raises Py4JError or OSError when its Java process is gone."""

    def __init__(self, options: Mapping[str, str], slots: int) -> None:
        self._java = get_gateway().jvm
        runtime = self._java.org.apache.flink.runtime.minicluster
        builder = runtime.MiniClusterConfiguration.Builder()
        builder.setConfiguration(configuration(options)._j_configuration)
        builder.setNumTaskManagers(1).setNumSlotsPerTaskManager(slots)
        self._cluster = runtime.MiniCluster(builder.build())
        self._cluster.start()

    def submit(self, environment: StreamExecutionEnvironment, options: Mapping[str, str], name: str) -> "ClusterJob":
        """Start what was put together in an environment as a job."""
        graph = environment._generate_stream_graph(clear_transformations=True, job_name=name)
        utils = self._java.org.apache.flink.client.deployment.executors.PipelineExecutorUtils
        graph = utils.getStreamGraph(graph, configuration(options)._j_configuration)
        return ClusterJob(self._cluster, self._cluster.submitJob(graph).get().getJobID())


class ClusterJob:
    """A job of the cluster."""

    def __init__(self, cluster: Any, job_id: Any) -> None:
        self._cluster = cluster
        self._id = job_id

    def __str__(self) -> str:
        return str(self._id.toString())

    def status(self) -> str:
        """Return the name of Flink's JobStatus."""
        return str(self._cluster.getJobStatus(self._id).get().name())

    def cancel(self) -> None:
        """End the job."""
        self._cluster.cancelJob(self._id).get()


def configuration(options: Mapping[str, str]) -> Configuration:
    """Flink's configuration of these options."""
    made = Configuration()
    for name, value in options.items():
        made.set_string(name, value)
    return made
