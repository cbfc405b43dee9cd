"""Whether a task answers its requests, and which process holds them up if it does not."""

from dataclasses import dataclass

from app.events import topics
from app.kafka.lag import PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.monitoring.progress import PROCESS_BY_GROUP
from app.monitoring.progress_tracker import ProgressByGroup
from app.settings import Settings


@dataclass(frozen=True)
class TaskStatus:
    """Status of one task."""

    name: str
    waiting: int
    """Number of waiting requests."""
    answered_seconds: float | None
    """Seconds since the last answer; None if none was observed."""
    stage: str = ""
    """The process that holds up requests; empty if none does."""
    held_seconds: float = 0.0

    @property
    def is_healthy(self) -> bool:
        """Whether the task answers its requests."""
        return not self.stage

    @property
    def detail(self) -> str:
        """The waiting requests, and the remedy if they are held up."""
        if self.is_healthy:
            return f"{self.waiting:,} waiting" if self.waiting else ""
        return (
            f"{self.waiting:,} waiting, held up by {self.stage} for {self.held_seconds:.0f} s: "
            f"`hindsight restart {self.stage}`"
        )


def task_status(settings: Settings, progress: ProgressByGroup, task: str) -> TaskStatus:
    """Return the status of a task. A stage holds it up if it has not advanced while records were overdue."""
    stages = {
        WORKER_GROUP: progress[WORKER_GROUP, topics.features(task)],
        PREPROCESS_GROUP: progress[PREPROCESS_GROUP, topics.requests(task)],
    }
    stalled_seconds = {
        PROCESS_BY_GROUP[group]: stage.stalled_seconds
        for group, stage in stages.items()
        if stage.position.overdue and stage.stalled_seconds >= settings.unanswered_seconds
    }
    process = max(stalled_seconds, key=lambda name: stalled_seconds[name], default="")
    waiting = sum(stage.position.waiting for stage in stages.values())
    predictions = progress[RECORDER_GROUP, topics.predictions(task)]
    return TaskStatus(task, waiting, predictions.idle_seconds, process, stalled_seconds.get(process, 0.0))
