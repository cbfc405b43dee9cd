import json
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import SetupError
from app.replay.query import ReplayQuery
from app.settings import TaskSettings
from tests.app.replay.logs import LATE, TASK
from tests.support.request_history import to_datetime


def test_future_times_and_empty_ranges_are_rejected() -> None:
    with pytest.raises(SetupError, match="is in the future"):
        ReplayQuery(TASK, TaskSettings(), datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(SetupError, match="not before"):
        ReplayQuery(TASK, TaskSettings(), LATE, since=to_datetime(2), until=to_datetime(2))


def test_the_manifest_keeps_the_names_of_the_rules() -> None:
    query = ReplayQuery(TASK, TaskSettings(full_feedback=True), datetime(2026, 1, 1, tzinfo=UTC))
    assert json.dumps(query.to_manifest(erasures=0)["rules"]) == (
        '{"all_are_judged": true, "label_rule": "majority", "reward_window_seconds": null, "reward_default": 0.0,'
        ' "frames": "all"}'
    )
