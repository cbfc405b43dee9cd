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
