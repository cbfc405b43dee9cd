"""What is to be looked at, from a catalog of what the scales said."""

from datetime import timedelta
from pathlib import Path

from app.events.ids import prediction_id
from app.outcomes.label_aggregation import in_audit_sample
from app.pages.review.queues import Queue, find_waiting
from app.settings import TaskSettings
from tests.support.catalog_fixtures import TASK, make_prediction, open_catalog
from tests.support.record_strategies import START

RULES = TaskSettings(audit_rate=0.3)
IDS = {number: prediction_id(TASK, "app", str(number)) for number in range(30)}
AUDITED = [number for number, unique in IDS.items() if in_audit_sample(unique, RULES.audit_rate)]
OTHERS = [number for number in IDS if number not in AUDITED]


def queue(directory: Path, name: Queue, rules: TaskSettings = RULES) -> list[int]:
    """The numbers of the requests in a queue; the later a request, the less certain its answer."""
    records = [make_prediction(n, START + timedelta(minutes=n), confidence=1 - n / 100) for n in IDS]
    numbers = {unique: number for number, unique in IDS.items()}
    with open_catalog(directory, records) as catalog:
        found = catalog.query(lambda connection: find_waiting(connection, name, TASK, ["1"], rules, START))
    return [numbers[one] for one in found]


def test_the_audit_has_what_was_drawn_the_oldest_first(tmp_path: Path) -> None:
    assert AUDITED
    assert queue(tmp_path, "audit") == AUDITED


def test_the_others_come_the_least_certain_first(tmp_path: Path) -> None:
    assert queue(tmp_path, "uncertain") == OTHERS[::-1]


def test_without_an_audit_all_are_among_the_others(tmp_path: Path) -> None:
    none = TaskSettings(audit_rate=0.0)
    assert queue(tmp_path, "audit", none) == []
    assert queue(tmp_path, "uncertain", none) == list(IDS)[::-1]
