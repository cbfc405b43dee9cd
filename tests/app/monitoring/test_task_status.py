import pytest

from app.kafka.lag import PREPROCESS_GROUP, RECORDER_GROUP, WORKER_GROUP
from app.monitoring.progress_tracker import Place, Standing
from app.monitoring.task_status import task_status
from app.settings import Settings

CONFIG = Settings(unanswered_seconds=30)
MOVES = Standing(Place(committed=5, waiting=9, overdue=9), still_seconds=2.0)
STANDS = Standing(Place(committed=5, waiting=9, overdue=9), still_seconds=30.0)
YOUNG = Standing(Place(committed=5, waiting=9, overdue=0), still_seconds=30.0)
IDLE = Standing(Place(committed=5))


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
def test_who_holds_up_a_task(requests: Standing, features: Standing, stage: str, waiting: int) -> None:
    standings = {
        (PREPROCESS_GROUP, "ocr.requests"): requests,
        (WORKER_GROUP, "ocr.features"): features,
        (RECORDER_GROUP, "ocr.predictions"): Standing(Place(0), quiet_seconds=12.0),
    }
    found = task_status(CONFIG, standings, "ocr")
    assert (found.stage, found.waiting, found.well) == (stage, waiting, not stage)
    assert found.answered_seconds == 12.0
    assert ("hindsight restart" in found.detail) == bool(stage)
