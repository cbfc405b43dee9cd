"""The review queues of a catalog with predictions of the task `scales`."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from app.events.base import EventData
from app.events.cloudevents import Record
from app.events.ids import prediction_id
from app.events.types import FeedbackGiven, FeedbackRetracted, ReviewQueue
from app.outcomes.label_aggregation import in_audit_sample
from app.pages.review.queues import find_waiting
from app.settings import TaskSettings
from tests.support.catalog_fixtures import TASK, make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START, make_record

RULES = TaskSettings(audit_rate=0.3)
IDS = {number: prediction_id(TASK, "app", str(number)) for number in range(30)}
AUDITED = [number for number, unique_id in IDS.items() if in_audit_sample(unique_id, RULES.audit_rate)]
OTHERS = [number for number in IDS if number not in AUDITED]


def queue(
    directory: Path,
    name: ReviewQueue,
    rules: TaskSettings = RULES,
    feedback: Sequence[EventData] = (),
    outcomes: Sequence[Record] = (),
) -> list[int]:
    """Return the numbers of the requests in a queue. Later requests have a lower confidence."""
    records = [make_prediction(n, START + timedelta(minutes=n), confidence=1 - n / 100) for n in IDS]
    records += [make_record(event, f"{TASK}.feedback", id=str(number)) for number, event in enumerate(feedback)]
    records += outcomes
    numbers = {unique_id: number for number, unique_id in IDS.items()}
    with open_catalog(directory, records) as catalog:
        waiting = catalog.query(lambda connection: find_waiting(connection, name, TASK, ["1"], rules, START))
    return [numbers[unique_id] for unique_id in waiting]


def test_the_audit_queue_has_the_audit_sample_oldest_first(tmp_path: Path) -> None:
    assert AUDITED
    assert queue(tmp_path, "audit") == AUDITED


def test_the_uncertain_queue_has_the_other_predictions_least_certain_first(tmp_path: Path) -> None:
    assert queue(tmp_path, "uncertain") == OTHERS[::-1]


def test_without_an_audit_the_uncertain_queue_has_all_predictions(tmp_path: Path) -> None:
    rules = TaskSettings(audit_rate=0.0)
    assert queue(tmp_path, "audit", rules) == []
    assert queue(tmp_path, "uncertain", rules) == list(IDS)[::-1]


def test_a_prediction_waits_again_once_all_of_its_feedback_is_retracted(tmp_path: Path) -> None:
    first, second = (IDS[number] for number in AUDITED[:2])
    feedback = [
        FeedbackGiven(prediction_id=first, accepted=True, actor="ada", queue="audit"),
        FeedbackGiven(prediction_id=second, accepted=True, actor="ada", queue="audit"),
        FeedbackRetracted(prediction_id=first, retracts="0", actor="ada"),
        FeedbackRetracted(prediction_id=second, retracts="1", actor="bob"),
    ]
    assert queue(tmp_path, "audit", feedback=feedback) == [AUDITED[0], *AUDITED[2:]]


def test_an_audited_prediction_waits_until_the_audit_is_answered_whatever_volunteers_do(tmp_path: Path) -> None:
    first, second, third = (IDS[number] for number in AUDITED[:3])
    feedback = [
        FeedbackGiven(prediction_id=first, accepted=False, actor="ada"),
        FeedbackGiven(prediction_id=second, accepted=False, actor="ada", queue="audit"),
        FeedbackGiven(prediction_id=third, accepted=True, actor="ada"),
    ]
    recorded = zip(AUDITED, (False, True, None), strict=False)  # None: by an older release
    outcomes = [make_outcome(number, START, audit_answered=answered) for number, answered in recorded]
    assert queue(tmp_path, "audit", feedback=feedback, outcomes=outcomes) == [AUDITED[0], *AUDITED[3:]]
