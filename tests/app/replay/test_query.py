import json
from datetime import UTC, datetime

from app.replay.query import ReplayQuery
from app.settings import TaskSettings
from tests.support.tasks import Letters


def test_the_manifest_keeps_the_names_of_the_rules() -> None:
    query = ReplayQuery(Letters(), TaskSettings(full_feedback=True), datetime(2026, 1, 1, tzinfo=UTC))
    assert json.dumps(query.to_manifest(erasures=0)["rules"]) == (
        '{"all_are_judged": true, "label_rule": "majority", "reward_window_seconds": null, "reward_default": 0.0,'
        ' "frames": "all"}'
    )
