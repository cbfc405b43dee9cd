import pytest

from app.kafka.lag import PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.monitoring.progress_tracker import GroupPosition, GroupProgress
from app.monitoring.task_status import task_status
from app.settings import Settings

CONFIG = Settings(unanswered_seconds=30)
ADVANCING = GroupProgress(GroupPosition(committed=5, waiting=9, overdue=9), stalled_seconds=2.0)
STALLED = GroupProgress(GroupPosition(committed=5, waiting=9, overdue=9), stalled_seconds=30.0)
RECENT = GroupProgress(GroupPosition(committed=5, waiting=9, overdue=0), stalled_seconds=30.0)
IDLE = GroupProgress(GroupPosition(committed=5))


@pytest.mark.parametrize(
    ("requests", "features", "stage", "waiting"),
    [
        (IDLE, IDLE, "", 0),
        (ADVANCING, IDLE, "", 9),  # late, but the group advances
        (RECENT, IDLE, "", 9),  # no record is overdue yet
        (STALLED, IDLE, "preprocess", 9),
        (IDLE, STALLED, "worker", 9),
        (ADVANCING, STALLED, "worker", 18),
    ],
)
def test_a_stage_with_overdue_records_that_is_stalled_holds_up_a_task(
    requests: GroupProgress, features: GroupProgress, stage: str, waiting: int
) -> None:
    progress = {
        (PREPROCESS_GROUP, "ocr.requests"): requests,
        (WORKER_GROUP, "ocr.features"): features,
        (RECORDER_GROUP, "ocr.predictions"): GroupProgress(GroupPosition(0), idle_seconds=12.0),
    }
    status = task_status(CONFIG, progress, "ocr")
    assert (status.stage, status.waiting, status.is_healthy) == (stage, waiting, not stage)
    assert status.answered_seconds == 12.0
    assert ("hindsight restart" in status.detail) == bool(stage)
