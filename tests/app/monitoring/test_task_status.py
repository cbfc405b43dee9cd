import pytest

from app.kafka.lag import PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.monitoring.progress_tracker import GroupPosition, GroupProgress
from app.monitoring.task_status import task_status
from app.settings import Settings

CONFIG = Settings(unanswered_seconds=30)
MOVES = GroupProgress(GroupPosition(committed=5, waiting=9, overdue=9), stalled_seconds=2.0)
STANDS = GroupProgress(GroupPosition(committed=5, waiting=9, overdue=9), stalled_seconds=30.0)
YOUNG = GroupProgress(GroupPosition(committed=5, waiting=9, overdue=0), stalled_seconds=30.0)
IDLE = GroupProgress(GroupPosition(committed=5))


@pytest.mark.parametrize(
    ("requests", "features", "stage", "waiting"),
    [
        (IDLE, IDLE, "", 0),
        (MOVES, IDLE, "", 9),  # late, but it goes on
        (YOUNG, IDLE, "", 9),  # nothing waits for long yet
        (STANDS, IDLE, "preprocess", 9),
        (IDLE, STANDS, "worker", 9),
        (MOVES, STANDS, "worker", 18),
    ],
)
def test_who_holds_up_a_task(requests: GroupProgress, features: GroupProgress, stage: str, waiting: int) -> None:
    standings = {
        (PREPROCESS_GROUP, "ocr.requests"): requests,
        (WORKER_GROUP, "ocr.features"): features,
        (RECORDER_GROUP, "ocr.predictions"): GroupProgress(GroupPosition(0), idle_seconds=12.0),
    }
    found = task_status(CONFIG, standings, "ocr")
    assert (found.stage, found.waiting, found.is_healthy) == (stage, waiting, not stage)
    assert found.answered_seconds == 12.0
    assert ("hindsight restart" in found.detail) == bool(stage)
