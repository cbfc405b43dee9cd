import json
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import SetupError
from app.replay.query import ReplayQuery, parse_time
from app.settings import TaskSettings
from tests.app.replay.logs import LATE, TASK
from tests.support.request_history import to_datetime


def test_future_times_and_empty_ranges_are_rejected() -> None:
    with pytest.raises(SetupError, match="is in the future"):
        ReplayQuery(TASK, TaskSettings(), datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(SetupError, match="not before"):
        ReplayQuery(TASK, TaskSettings(), LATE, since=to_datetime(2), until=to_datetime(2))


NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("today", datetime(2026, 3, 1, tzinfo=UTC)),
        ("yesterday", datetime(2026, 2, 28, tzinfo=UTC)),
        ("-1d", datetime(2026, 2, 28, 9, 30, tzinfo=UTC)),
        ("-2w", datetime(2026, 2, 15, 9, 30, tzinfo=UTC)),
        ("-90m", datetime(2026, 3, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_absolute_or_relative(text: str, time: datetime) -> None:
    assert parse_time(text, "--from", NOW) == time


@pytest.mark.parametrize("text", ["", "tomorrow", "1d", "-1y", "-999999999w", "-1.5d", "31.01.2026"])
def test_another_text_is_no_time(text: str) -> None:
    with pytest.raises(SetupError, match=r"--from .* is not a valid time"):
        parse_time(text, "--from", NOW)


def test_the_manifest_keeps_the_names_of_the_rules() -> None:
    query = ReplayQuery(TASK, TaskSettings(full_feedback=True), datetime(2026, 1, 1, tzinfo=UTC))
    assert json.dumps(query.to_manifest(erasures=0)["rules"]) == (
        '{"all_are_judged": true, "label_rule": "majority", "reward_window_seconds": null, "reward_default": 0.0,'
        ' "frames": "all"}'
    )
