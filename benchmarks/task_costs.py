"""What each task costs: the same ratios for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.peer import PeerThroughput
from benchmarks.runtime_limit import RuntimeLimit
from benchmarks.throughput import BacklogResult
from models.base import Task


@dataclass(frozen=True)
class TaskCost:
    """One task, saturated: the platform, the simplest peer, and ONNX Runtime alone."""

    drain: BacklogResult
    peer: PeerThroughput
    limit: RuntimeLimit

    @property
    def limit_ratio(self) -> float:
        """What the platform does of what ONNX Runtime alone does."""
        return self.drain.per_second / self.limit.best.per_second

    @property
    def end_to_end_ratio(self) -> float:
        """What the platform does of what ONNX Runtime does with preprocessing and decoding."""
        return self.drain.per_second / self.limit.whole

    @property
    def peer_ratio(self) -> float:
        """What the platform does of what one event at a time does."""
        return self.drain.per_second / self.peer.per_second


def make_payloads(task: Task, count: int, seed: int) -> Sequence[bytes]:
    """Distinct payloads, as in the task's demonstration."""
    return [sample.payload for sample in islice(task.demonstration(seed), count)]
