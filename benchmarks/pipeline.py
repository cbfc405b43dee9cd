"""What the benchmark saturates: something that answers the requests of a topic."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from app.settings import Settings
from benchmarks.resource_usage import CpuTimes


@dataclass(frozen=True)
class TaskTopics:
    """The topics of a task. An answer has the key of its request."""

    requests: str
    answers: str


class Pipeline(Protocol):
    """The platform, or a peer."""

    @property
    def settings(self) -> Settings:
        """Return the settings, with the broker's address."""

    def topics(self, task: str) -> TaskTopics:
        """Return the topics of a task."""

    def cpu(self) -> CpuTimes:
        """Return the CPU time used so far, by stage."""

    def paused(self) -> AbstractContextManager[None]:
        """Take no requests for as long as the block lasts."""

    async def settle(self) -> None:
        """Return once the work behind the answers is done."""
