"""What a look of the triggers costs the database."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from app.registry.registry import Registry
from app.retraining.triggers.catalog_observer import Observer, newest_prediction_time
from app.retraining.triggers.expected_quality import ExpectedQualityEstimator
from app.settings.retraining import RetrainingSettings
from tests.support.catalog_fixtures import TASK, make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START
from tests.support.scales import Scales

PLAN = RetrainingSettings(window_minutes=60, feedback_wait_minutes=10)


def test_no_look_scans_a_table(tmp_path: Path) -> None:
    records = [make_prediction(request, START + timedelta(minutes=request)) for request in range(200)]
    outcomes = [make_outcome(request, START + timedelta(minutes=request), score=0.5) for request in range(0, 200, 2)]
    statements = list[tuple[str, Any]]()
    with open_catalog(tmp_path, [*records, *outcomes]) as catalog:

        def look(connection: Connection) -> list[str]:
            note = lambda *executed: statements.append(executed[2:4])  # noqa: E731
            event.listen(connection, "before_cursor_execute", note)
            models = Registry([Scales()]).tasks[TASK]
            Observer(Scales(), models, PLAN).observe(connection, START + timedelta(minutes=190))
            ExpectedQualityEstimator().estimate(connection, models, PLAN, START + timedelta(minutes=190))
            newest_prediction_time(connection, models)
            event.remove(connection, "before_cursor_execute", note)
            plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values) for text, values in statements]
            return [str(row[3]) for plan in plans for row in plan]

        steps = catalog.query(look)
    assert len(statements) > 8
    assert [step for step in steps if step.startswith("SCAN")] == []
