"""Whether a task answers what it is asked, and which process holds its requests up where it doesn't."""

from dataclasses import dataclass

from app.events import topics
from app.kafka.lag import PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.monitoring.progress import PROCESS_BY_GROUP
from app.monitoring.progress_tracker import ProgressByGroup
from app.settings import Settings


@dataclass(frozen=True)
class TaskStatus:
    """One task."""

    name: str
    waiting: int
    """Its requests that wait."""
    answered_seconds: float | None
    """How long ago its last answer was; None where none was seen."""
    stage: str = ""
    """The process that holds requests up; empty where none does."""
    held_seconds: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Whether it answers what it is asked."""
        return not self.stage

    @property
    def detail(self) -> str:
        """What waits, for how long, and what to do about it."""
        if self.is_healthy:
            return f"{self.waiting:,} waiting" if self.waiting else ""
        return (
            f"{self.waiting:,} waiting, held up by {self.stage} for {self.held_seconds:.0f} s: "
            f"`hindsight restart {self.stage}`"
        )


def task_status(settings: Settings, standings: ProgressByGroup, task: str) -> TaskStatus:
    """How a task does. A stage holds it up that has moved none of its records while they were overdue."""
    stages = {
        WORKER_GROUP: standings[WORKER_GROUP, topics.features(task)],
        PREPROCESS_GROUP: standings[PREPROCESS_GROUP, topics.requests(task)],
    }
    held = {
        PROCESS_BY_GROUP[group]: one.stalled_seconds
        for group, one in stages.items()
        if one.position.overdue and one.stalled_seconds >= settings.unanswered_seconds
    }
    stage = max(held, key=lambda name: held[name], default="")
    waiting = sum(one.position.waiting for one in stages.values())
    answers = standings[RECORDER_GROUP, topics.predictions(task)]
    return TaskStatus(task, waiting, answers.idle_seconds, stage, held.get(stage, 0.0))
