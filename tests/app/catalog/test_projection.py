from collections.abc import Callable
from datetime import timedelta

import pytest

from app.catalog.catalog import Catalog
from app.catalog.orm import RunRow
from app.events.base import ModelRef
from app.events.cloudevents import Record
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import DatasetBuilt, ModelEvaluated, ModelRegistered, ModelTrained, RouteChanged
from app.events.types import Failure, FeedbackGiven, PredictionFailed
from tests.app.catalog.samples import SERVED, sample_correction, sample_outcome, sample_prediction, table_rows
from tests.support.record_strategies import START, consumed_record, make_dead_letter, make_record


def test_the_first_of_two_predictions_with_one_id_counts(catalog: Catalog) -> None:
    early = consumed_record(make_record(sample_prediction("first")), offset=7, logged_ms=10)
    late = consumed_record(make_record(sample_prediction("second")), offset=8, logged_ms=20)
    catalog.project([late])
    catalog.project([early])
    catalog.project([late])
    served = catalog.prediction_histories([SERVED])[SERVED].served
    assert served is not None
    assert served.prediction == sample_prediction("first")
    assert table_rows(catalog, "predictions", "offset", "logged") == [(7, START + timedelta(milliseconds=10))]


def test_a_prediction_counts_although_its_request_had_failed_before_its_redelivery(
    catalog: Catalog,
) -> None:
    failed = PredictionFailed(
        prediction_id=SERVED,
        request_id="1",
        task="ocr",
        error=Failure(stage="preprocess", code="blob_missing", reason="there is no blob"),
        dead_letter="4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11",
    )
    log = [failed, sample_prediction("first"), failed, sample_prediction("second")]
    events = [consumed_record(make_record(data), offset=offset, logged_ms=offset) for offset, data in enumerate(log)]
    for record in reversed(events):
        catalog.project([record])
    served = catalog.prediction_histories([SERVED])[SERVED].served
    assert served is not None
    assert served.prediction == sample_prediction("first")


def test_predictions_logged_at_the_same_time_are_ordered_by_position(catalog: Catalog) -> None:
    places = [(1, 0), (0, 9), (0, 5), (2, 2)]
    catalog.project(
        [consumed_record(make_record(sample_prediction(f"{p}/{o}")), partition=p, offset=o) for p, o in places]
    )
    assert table_rows(catalog, "predictions", "partition", "offset") == [(0, 5)]


def test_feedback_is_identified_by_its_source_and_id(catalog: Catalog) -> None:
    feedback_records = [
        make_record(sample_correction("a"), id="1", minute=3),
        make_record(sample_correction("b"), id="1", minute=1, source="another"),
        make_record(sample_correction("a"), id="1", minute=3),
        make_record(sample_correction("c"), id="0", minute=1),
    ]
    catalog.project(
        [consumed_record(event, offset=offset, logged_ms=offset) for offset, event in enumerate(feedback_records)]
    )
    history = catalog.prediction_histories([SERVED])[SERVED]
    assert history.served is None
    assert [(event.id, event.source, event.logged) for event in history.feedback] == [
        ("0", "app", START + timedelta(milliseconds=3)),
        ("1", "another", START + timedelta(milliseconds=1)),
        ("1", "app", START),
    ]
    assert [event.feedback for event in history.feedback] == [
        sample_correction("c"),
        sample_correction("b"),
        sample_correction("a"),
    ]


def test_feedback_on_a_request_is_feedback_on_its_prediction(catalog: Catalog) -> None:
    feedback = FeedbackGiven(task="ocr", request_id="1", request_source="app", reward=0.5, actor="shop")
    catalog.project([consumed_record(make_record(feedback))])
    assert [event.feedback for event in catalog.prediction_histories([SERVED])[SERVED].feedback] == [feedback]


def test_a_shadows_prediction_is_stored_but_not_served(catalog: Catalog) -> None:
    catalog.project([consumed_record(make_record(sample_prediction(role="shadow"), topic="ocr.shadow-predictions"))])
    assert table_rows(catalog, "predictions", "prediction_id", "role") == [(SERVED, "shadow")]
    assert catalog.prediction_histories([SERVED])[SERVED].served is None


def test_the_last_outcome_counts(catalog: Catalog) -> None:
    outcomes = [sample_outcome(score=0.1), sample_outcome(score=0.2), sample_outcome(score=0.3)]
    records = [
        consumed_record(make_record(record), offset=offset, logged_ms=offset) for offset, record in enumerate(outcomes)
    ]
    for record in (records[2], records[0], records[1]):
        catalog.project([record])
    assert table_rows(catalog, "outcomes", "score", "offset") == [(0.3, 2)]


def test_an_outcome_published_late_does_not_replace_a_newer_one(catalog: Catalog) -> None:
    late = consumed_record(make_record(sample_outcome(score=0.1), minute=1), offset=2, logged_ms=2)
    catalog.project([consumed_record(make_record(sample_outcome(score=0.2), minute=2), offset=1, logged_ms=1), late])
    assert table_rows(catalog, "outcomes", "score") == [(0.2,)]


def test_a_run_is_in_the_furthest_state_of_its_events(catalog: Catalog, open_catalog: Callable[[], Catalog]) -> None:
    model = ModelRef(name="ocr", version="4")
    run = {"task": "ocr", "run_id": "r1"}
    lifecycle = [
        RetrainingTriggered(**run, trigger="drift", evidence={}, champion="3"),
        DatasetBuilt(**run, content_hash="h", location="file:///d", rows=9, manifest={}),
        ModelTrained(**run, model=model, parent="3", dataset="h", seed=1, code="c"),
        ModelEvaluated(**run, model=model, dataset="h", metrics={"score": 0.9}, passed=False),
        ModelEvaluated(**run, model=model, dataset="h", metrics={"score": 0.9}, passed=True),
        ModelRegistered(**run, model=model, artifact="a", card={"by": "us"}, preprocess_version="1"),
        RouteChanged(**run, action="canary", champion="3", canary="4", reason="it passed", actor="gate"),
        RouteChanged(**run, action="promote", champion="4", reason="it is better", actor="gate"),
    ]
    records = [
        consumed_record(make_record(record, id=str(n)), offset=n, logged_ms=n) for n, record in enumerate(lifecycle)
    ]
    states = []
    for record in [records[1], records[0], *records[2:]]:
        catalog.project([record])
        (row,) = catalog.rows("runs")
        states.append((RunRow(**row).state, row["trigger"]))
    assert states == [
        ("built", None),
        ("built", "drift"),
        ("trained", "drift"),
        ("refused", "drift"),
        ("passed", "drift"),
        ("registered", "drift"),
        ("routed", "drift"),
        ("routed", "drift"),
    ]
    (row,) = catalog.rows("runs")
    assert row["routed"] == START + timedelta(milliseconds=6)
    assert sorted(table_rows(catalog, "route_changes", "offset", "champion")) == [(6, "3"), (7, "4")]
    assert table_rows(catalog, "models", "task", "name", "version") == [("ocr", "ocr", "4")]
    assert [row["data"]["card"] for row in catalog.rows("versions")] == [{"by": "us"}]
    assert table_rows(catalog, "candidates", "version", "run_id") == [("4", "r1")]
    assert sorted(table_rows(catalog, "evaluations", "offset", "passed")) == [(3, False), (4, True)]
    assert table_rows(catalog, "datasets", "content_hash", "location") == [("h", "file:///d")]


def test_a_dead_letter_has_the_reason_and_no_payload(catalog: Catalog) -> None:
    catalog.project([consumed_record(make_dead_letter(offset=5, reason="it is\x00no image"))])
    (row,) = catalog.rows("dead_letters")
    assert (row["stage"], row["code"], row["reason"]) == ("preprocess", "bad", "it is\ufffdno image")
    assert (row["source_topic"], row["source_partition"], row["source_offset"]) == ("ocr.requests", 0, 5)
    assert (row["event_source"], row["event_id"]) == ("app", "1")
    assert "payload" not in repr(row)


FEEDBACK = "ocr.feedback"
VALID = b'{"prediction_id": "%s", "accepted": true, "actor": "ada"}' % SERVED.encode()
UNREADABLE = [
    Record(FEEDBACK, None, None, ()),
    Record(FEEDBACK, None, b"\xff", ()),
    Record(FEEDBACK, None, b'{"prediction_id": 5}', ()),
    Record(FEEDBACK, None, VALID.replace(b"true", b'true, "correction": {"x": NaN}'), ()),
    Record(FEEDBACK, None, VALID.replace(b"true", b'true, "correction": {"x": 1e999}'), ()),
    Record(FEEDBACK, None, VALID, (("ce_id", b"\xff"),)),
    Record(FEEDBACK, None, VALID, (("ce_time", b"yesterday"),)),
    Record(FEEDBACK, None, VALID, (("ce_time", b"0001-01-01T00:00:00+14:00"),)),
    Record(FEEDBACK, None, VALID, (("ce_type", b"hindsight.outcome.recorded.v1"),)),
    Record(FEEDBACK, None, VALID, (("ce_type", b"hindsight.feedback.given.v999"),)),
    Record("ocr.outcomes", None, VALID, ()),
    Record("dead-letters", None, b"", ()),
    Record("dead-letters", None, b"", (*make_dead_letter().headers, ("rejected_offset", b"9" * 30))),
    Record("dead-letters", None, b"", (*make_dead_letter().headers, ("rejected_id", b"\xff"))),
]


@pytest.mark.parametrize(
    "record", UNREADABLE, ids=lambda record: f"{record.topic} {(record.headers[-1:] or record.value)!r:.60}"
)
def test_an_unreadable_record_is_reported_and_left_out(
    catalog: Catalog, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.project(
        [
            consumed_record(make_record(sample_prediction())),
            consumed_record(record, offset=1),
            consumed_record(make_record(sample_correction()), offset=2),
        ]
    )
    assert [(table, len(rows)) for table, rows in catalog.dump().items() if rows] == [
        ("predictions", 1),
        ("feedback", 1),
    ]
    assert f"{record.topic}/0/1" in caplog.text


@pytest.mark.parametrize(
    "record",
    [
        Record("lifecycle", None, b"{}", (("ce_type", b"hindsight.drift.detected.v1"),)),
        Record("lifecycle", None, b"{}", (("ce_type", b"hindsight.what.comes.next.v1"),)),
        Record("lifecycle", None, b"{}", ()),
    ],
)
def test_a_record_without_a_row_is_skipped_silently(
    catalog: Catalog, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.project([consumed_record(record)])
    assert not any(catalog.dump().values())
    assert caplog.text == ""


def test_feedback_may_have_an_event_type_of_the_application(catalog: Catalog) -> None:
    catalog.project([consumed_record(Record(FEEDBACK, None, VALID, (("ce_type", b"com.example.thumbs-up"),)))])
    assert len(catalog.prediction_histories([SERVED])[SERVED].feedback) == 1


def test_any_valid_feedback_can_be_stored(catalog: Catalog) -> None:
    long_text, actor = "\U0010ffff" * 512, "a\x00b"
    feedback = FeedbackGiven(prediction_id=SERVED, correction={"text": "\x00", "big": 10**300}, actor=actor)
    catalog.project([consumed_record(make_record(feedback, id=long_text, source=long_text))])
    (event,) = catalog.prediction_histories([SERVED])[SERVED].feedback
    assert (event.feedback, event.id, event.source) == (feedback, long_text, long_text)
    assert table_rows(catalog, "feedback", "actor") == [("a\ufffdb",)]


@pytest.mark.parametrize("mark", ["replay", "partial"])
def test_republished_history_and_partial_answers_make_no_rows(catalog: Catalog, mark: str) -> None:
    records = [
        make_record(item, extensions={mark: "1"})
        for item in (sample_prediction(), sample_correction(), sample_outcome())
    ]
    catalog.project([consumed_record(item) for item in records])
    assert not any(catalog.dump().values())
