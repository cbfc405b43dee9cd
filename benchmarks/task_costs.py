"""What each task costs: the same ratios for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.peer import Alone
from benchmarks.runtime_limit import Limit
from benchmarks.throughput import Drain
from models.base import Task


@dataclass(frozen=True)
class Cost:
    """One task, saturated: the platform, the simplest peer, and ONNX Runtime alone."""

    drain: Drain
    peer: Alone
    limit: Limit

    @property
    def of_limit(self) -> float:
        """What the platform does of what ONNX Runtime alone does."""
        return self.drain.per_second / self.limit.best.per_second

    @property
    def of_whole(self) -> float:
        """What the platform does of what ONNX Runtime does with preprocessing and decoding."""
        return self.drain.per_second / self.limit.whole

    @property
    def of_peer(self) -> float:
        """What the platform does of what one event at a time does."""
        return self.drain.per_second / self.peer.per_second


def payloads(task: Task, count: int, seed: int) -> Sequence[bytes]:
    """Distinct payloads, as in the task's demonstration."""
    return [sample.payload for sample in islice(task.demonstration(seed), count)]
