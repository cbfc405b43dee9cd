"""The cost of each task, by the same ratios."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.peer import PeerThroughput
from benchmarks.runtime_limit import RuntimeLimit
from benchmarks.throughput import BacklogResult
from models.base import Task


@dataclass(frozen=True)
class TaskCost:
    """The saturated throughput of a task: on the platform, by the simplest peer, and in ONNX Runtime alone."""

    drain: BacklogResult
    peer: PeerThroughput
    limit: RuntimeLimit

    @property
    def limit_ratio(self) -> float:
        """Return the platform's throughput as a share of ONNX Runtime's alone."""
        return self.drain.per_second / self.limit.best.per_second

    @property
    def end_to_end_ratio(self) -> float:
        """Return the platform's throughput as a share of ONNX Runtime's with preprocessing and decoding."""
        return self.drain.per_second / self.limit.whole.per_second

    @property
    def peer_ratio(self) -> float:
        """Return the platform's throughput as a share of the peer's."""
        return self.drain.per_second / self.peer.per_second


def make_payloads(task: Task, count: int, seed: int) -> Sequence[bytes]:
    """Return distinct payloads of the task's demonstration."""
    return [sample.payload for sample in islice(task.demonstration(seed), count)]
