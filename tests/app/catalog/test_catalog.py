import json
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.catalog.catalog import Catalog
from app.catalog.engine import write_transaction
from app.catalog.orm import Base, RunRow
from app.errors import SetupError, Unavailable
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Record
from app.events.ids import prediction_id
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import DatasetBuilt, ModelEvaluated, ModelRegistered, ModelTrained, RouteChanged
from app.events.types import Failure, FeedbackGiven, OutcomeRecorded, PredictionFailed, PredictionMade
from tests.support.record_strategies import START, consumed_record, log_strategy, make_dead_letter, make_record

SERVED = prediction_id("ocr", "app", "1")
OTHER = prediction_id("ocr", "app", "2")


def made(text: str = "128", unique: str = SERVED, **changes: Any) -> PredictionMade:
    return PredictionMade(
        prediction_id=unique,
        request_id="1",
        task="ocr",
        model=ModelRef(name="ocr", version="3"),
        role="champion",
        output={"text": text},
        confidence=0.75,
        propensity=1.0,
        timings_ms={"queued": 1, "preprocess": 1, "inference": 1, "total": 3},
    ).model_copy(update=changes)


def right(text: str = "123", unique: str = SERVED, **what: Any) -> FeedbackGiven:
    return FeedbackGiven(prediction_id=unique, correction={"text": text}, actor="ada", **what)


def outcome(unique: str = SERVED, **what: Any) -> OutcomeRecorded:
    prediction = made(unique=unique).model_dump(exclude={"timings_ms", "inputs"})
    return OutcomeRecorded(**prediction, request_source="app", selection="volunteer", **what)


def rows(catalog: Catalog, table: str, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in catalog.rows(table)]


def empty(catalog: Catalog) -> None:
    catalog.upgrade()
    with write_transaction(catalog._engine) as connection:
        for table in Base.metadata.tables.values():
            connection.execute(table.delete())


def test_of_two_predictions_with_one_id_the_first_in_the_log_is_the_prediction(catalog: Catalog) -> None:
    early = consumed_record(make_record(made("first")), offset=7, logged_ms=10)
    late = consumed_record(make_record(made("second")), offset=8, logged_ms=20)
    catalog.project([late])
    catalog.project([early])
    catalog.project([late])
    served = catalog.prediction_histories([SERVED])[SERVED].served
    assert served is not None
    assert served.prediction == made("first")
    assert rows(catalog, "predictions", "offset", "logged") == [(7, START + timedelta(milliseconds=10))]


def test_a_prediction_counts_though_its_request_failed_before_as_when_a_dead_letter_is_replayed(
    catalog: Catalog,
) -> None:
    failed = PredictionFailed(
        prediction_id=SERVED,
        request_id="1",
        task="ocr",
        error=Failure(stage="preprocess", code="blob_missing", reason="there is no blob"),
        dead_letter="4e0d2f5c-6a3c-5b8e-9f3a-0d6c1c2b7a11",
    )
    log = [failed, made("first"), failed, made("second")]
    events = [consumed_record(make_record(data), offset=offset, logged_ms=offset) for offset, data in enumerate(log)]
    for one in reversed(events):
        catalog.project([one])
    served = catalog.prediction_histories([SERVED])[SERVED].served
    assert served is not None
    assert served.prediction == made("first")


def test_predictions_logged_in_the_same_moment_are_ordered_by_their_places(catalog: Catalog) -> None:
    places = [(1, 0), (0, 9), (0, 5), (2, 2)]
    catalog.project([consumed_record(make_record(made(f"{p}/{o}")), partition=p, offset=o) for p, o in places])
    assert rows(catalog, "predictions", "partition", "offset") == [(0, 5)]


def test_feedback_is_known_by_its_source_and_id(catalog: Catalog) -> None:
    said = [
        make_record(right("a"), id="1", minute=3),
        make_record(right("b"), id="1", minute=1, source="another"),
        make_record(right("a"), id="1", minute=3),
        make_record(right("c"), id="0", minute=1),
    ]
    catalog.project([consumed_record(one, offset=offset, logged_ms=offset) for offset, one in enumerate(said)])
    joined = catalog.prediction_histories([SERVED])[SERVED]
    assert joined.served is None
    assert [(one.id, one.source, one.logged) for one in joined.feedback] == [
        ("0", "app", START + timedelta(milliseconds=3)),
        ("1", "another", START + timedelta(milliseconds=1)),
        ("1", "app", START),
    ]
    assert [one.feedback for one in joined.feedback] == [right("c"), right("b"), right("a")]


def test_feedback_on_a_request_is_feedback_on_its_prediction(catalog: Catalog) -> None:
    said = FeedbackGiven(task="ocr", request_id="1", request_source="app", reward=0.5, actor="shop")
    catalog.project([consumed_record(make_record(said))])
    assert [one.feedback for one in catalog.prediction_histories([SERVED])[SERVED].feedback] == [said]


def test_all_that_is_asked_for_is_joined(catalog: Catalog) -> None:
    catalog.project(
        [
            consumed_record(make_record(made(), extensions={"requestsource": "shop"}, minute=5), logged_ms=10),
            consumed_record(make_record(right())),
            consumed_record(make_record(right(unique=OTHER), id="2"), offset=1),
        ]
    )
    joined = catalog.prediction_histories([SERVED, OTHER, "ocr:none"])
    assert joined.keys() == {SERVED, OTHER, "ocr:none"}
    served = joined[SERVED].served
    assert served is not None
    assert (served.request_source, served.time) == ("shop", START + timedelta(minutes=5))
    assert served.logged == START + timedelta(milliseconds=10)
    assert [len(joined[unique].feedback) for unique in (SERVED, OTHER, "ocr:none")] == [1, 1, 0]


def test_a_shadows_prediction_is_kept_and_serves_nothing(catalog: Catalog) -> None:
    catalog.project([consumed_record(make_record(made(role="shadow"), topic="ocr.shadow-predictions"))])
    assert rows(catalog, "predictions", "prediction_id", "role") == [(SERVED, "shadow")]
    assert catalog.prediction_histories([SERVED])[SERVED].served is None


def test_what_is_due_has_no_reward_and_the_oldest_comes_first(catalog: Catalog) -> None:
    unique = [prediction_id("ocr", "app", str(number)) for number in range(6)]
    predictions = [made(unique=one) for one in unique]
    predictions[5] = made(unique=unique[5], role="shadow")
    minutes = [3, 2, 1, 9, 0, 1]
    served = [make_record(one, minute=minute) for one, minute in zip(predictions, minutes, strict=True)]
    judged = [make_record(outcome(unique[1], accepted=True)), make_record(outcome(unique[4], reward=0.0))]
    catalog.project([consumed_record(one, offset) for offset, one in enumerate([*served, *judged])])
    assert catalog.awaiting_reward("ocr", START + timedelta(minutes=5), 10) == [unique[2], unique[1], unique[0]]
    assert catalog.awaiting_reward("ocr", START + timedelta(minutes=5), 1) == [unique[2]]
    assert catalog.awaiting_reward("letters", START + timedelta(minutes=5), 10) == []


def test_the_last_outcome_counts(catalog: Catalog) -> None:
    said = [outcome(score=0.1), outcome(score=0.2), outcome(score=0.3)]
    records = [consumed_record(make_record(one), offset=offset, logged_ms=offset) for offset, one in enumerate(said)]
    for one in (records[2], records[0], records[1]):
        catalog.project([one])
    assert rows(catalog, "outcomes", "score", "offset") == [(0.3, 2)]


def test_an_outcome_that_was_published_late_does_not_replace_one_that_knows_more(catalog: Catalog) -> None:
    late = consumed_record(make_record(outcome(score=0.1), minute=1), offset=2, logged_ms=2)
    catalog.project([consumed_record(make_record(outcome(score=0.2), minute=2), offset=1, logged_ms=1), late])
    assert rows(catalog, "outcomes", "score") == [(0.2,)]


def test_a_run_is_in_the_furthest_state_that_the_log_says(catalog: Catalog, opened: Callable[[], Catalog]) -> None:
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
    records = [consumed_record(make_record(one, id=str(n)), offset=n, logged_ms=n) for n, one in enumerate(lifecycle)]
    states = []
    for one in [records[1], records[0], *records[2:]]:
        catalog.project([one])
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
    assert sorted(rows(catalog, "route_changes", "offset", "champion")) == [(6, "3"), (7, "4")]
    assert rows(catalog, "models", "task", "name", "version") == [("ocr", "ocr", "4")]
    assert [row["data"]["card"] for row in catalog.rows("versions")] == [{"by": "us"}]
    assert rows(catalog, "candidates", "version", "run_id") == [("4", "r1")]
    assert sorted(rows(catalog, "evaluations", "offset", "passed")) == [(3, False), (4, True)]
    assert rows(catalog, "datasets", "content_hash", "location") == [("h", "file:///d")]


def test_a_dead_letter_says_why_and_keeps_no_payload(catalog: Catalog) -> None:
    catalog.project([consumed_record(make_dead_letter(offset=5, reason="it is\x00no image"))])
    (row,) = catalog.rows("dead_letters")
    assert (row["stage"], row["code"], row["reason"]) == ("preprocess", "bad", "it is\ufffdno image")
    assert (row["source_topic"], row["source_partition"], row["source_offset"]) == ("ocr.requests", 0, 5)
    assert (row["event_source"], row["event_id"]) == ("app", "1")
    assert "payload" not in repr(row)


FEEDBACK = "ocr.feedback"
GOOD = b'{"prediction_id": "%s", "accepted": true, "actor": "ada"}' % SERVED.encode()
BAD = [
    Record(FEEDBACK, None, None, ()),
    Record(FEEDBACK, None, b"\xff", ()),
    Record(FEEDBACK, None, b'{"prediction_id": 5}', ()),
    Record(FEEDBACK, None, GOOD.replace(b"true", b'true, "correction": {"x": NaN}'), ()),
    Record(FEEDBACK, None, GOOD.replace(b"true", b'true, "correction": {"x": 1e999}'), ()),
    Record(FEEDBACK, None, GOOD, (("ce_id", b"\xff"),)),
    Record(FEEDBACK, None, GOOD, (("ce_time", b"yesterday"),)),
    Record(FEEDBACK, None, GOOD, (("ce_time", b"0001-01-01T00:00:00+14:00"),)),
    Record(FEEDBACK, None, GOOD, (("ce_type", b"hindsight.outcome.recorded.v1"),)),
    Record(FEEDBACK, None, GOOD, (("ce_type", b"hindsight.feedback.given.v999"),)),
    Record("ocr.outcomes", None, GOOD, ()),
    Record("dead-letters", None, b"", ()),
    Record("dead-letters", None, b"", (*make_dead_letter().headers, ("rejected_offset", b"9" * 30))),
    Record("dead-letters", None, b"", (*make_dead_letter().headers, ("rejected_id", b"\xff"))),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.topic} {(bad.headers[-1:] or bad.value)!r:.60}")
def test_what_cannot_be_read_is_said_and_left_out(
    catalog: Catalog, bad: Record, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.project(
        [
            consumed_record(make_record(made())),
            consumed_record(bad, offset=1),
            consumed_record(make_record(right()), offset=2),
        ]
    )
    assert [(table, len(found)) for table, found in catalog.dump().items() if found] == [
        ("predictions", 1),
        ("feedback", 1),
    ]
    assert f"{bad.topic}/0/1" in caplog.text


@pytest.mark.parametrize(
    "other",
    [
        Record("lifecycle", None, b"{}", (("ce_type", b"hindsight.drift.detected.v1"),)),
        Record("lifecycle", None, b"{}", (("ce_type", b"hindsight.what.comes.next.v1"),)),
        Record("lifecycle", None, b"{}", ()),
    ],
)
def test_what_has_no_row_is_passed_over(catalog: Catalog, other: Record, caplog: pytest.LogCaptureFixture) -> None:
    catalog.project([consumed_record(other)])
    assert not any(catalog.dump().values())
    assert caplog.text == ""


def test_feedback_may_have_a_type_of_the_applications_own(catalog: Catalog) -> None:
    catalog.project([consumed_record(Record(FEEDBACK, None, GOOD, (("ce_type", b"com.example.thumbs-up"),)))])
    assert len(catalog.prediction_histories([SERVED])[SERVED].feedback) == 1


def test_whatever_an_application_may_write_can_be_kept(catalog: Catalog) -> None:
    long, actor = "\U0010ffff" * 512, "a\x00b"
    said = FeedbackGiven(prediction_id=SERVED, correction={"text": "\x00", "big": 10**300}, actor=actor)
    catalog.project([consumed_record(make_record(said, id=long, source=long))])
    (one,) = catalog.prediction_histories([SERVED])[SERVED].feedback
    assert (one.feedback, one.id, one.source) == (said, long, long)
    assert rows(catalog, "feedback", "actor") == [("a\ufffdb",)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(log_strategy(), st.randoms(use_true_random=False))
def test_rows_do_not_depend_on_the_order_or_number_of_deliveries(
    catalog: Catalog, log: Sequence[ConsumedRecord], chance: random.Random
) -> None:
    empty(catalog)
    catalog.project(log)
    expected = catalog.dump()
    empty(catalog)
    deliveries = [*log, *chance.choices(log, k=5)] if log else []
    chance.shuffle(deliveries)
    while deliveries:
        size = chance.randint(1, 5)
        catalog.project(deliveries[:size])
        del deliveries[:size]
    assert catalog.dump() == expected


def test_a_prediction_is_read_with_its_feedback_and_outcome(catalog: Catalog) -> None:
    catalog.project(
        [
            consumed_record(make_record(made())),
            consumed_record(make_record(right()), offset=1),
            consumed_record(make_record(outcome(score=0.5)), offset=2),
        ]
    )
    found = catalog.prediction(SERVED)
    assert found is not None
    assert found["output"] == {"text": "128"}
    assert [one["correction"] for one in found["feedback"]] == [{"text": "123"}]
    assert found["outcome"]["score"] == 0.5
    assert catalog.prediction(OTHER) is None


@pytest.mark.parametrize("url", ["mysql://host/db", "nonsense", "postgres://host/db"])
def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match="HINDSIGHT_DATABASE_URL"):
        Catalog(url)


def test_a_server_that_is_away_is_waited_for(tmp_path: Any) -> None:
    catalog = Catalog(f"postgresql+psycopg://user:hunter2@/db?host={tmp_path}")
    with pytest.raises(Unavailable) as caught:
        catalog.project([consumed_record(make_record(made()))])
    assert "hunter2" not in str(caught.value)
    catalog.close()


def test_a_record_is_kept_as_json_that_databases_can_ask(catalog: Catalog) -> None:
    catalog.project([consumed_record(make_record(made()))])
    (row,) = catalog.rows("predictions")
    assert row["data"] == json.loads(made().model_dump_json())


def test_a_catalog_that_is_not_there_is_never_taken_for_an_empty_one(opened: Callable[[], Catalog]) -> None:
    lost = opened()
    for ask in (
        lambda: lost.prediction_histories(["letters:1"]),
        lambda: lost.project([]),
        lambda: lost.prediction("letters:1"),
    ):
        with pytest.raises(Unavailable, match="hindsight rebuild"):
            ask()
    assert not lost.exists()
    with opened().replace_tables():
        pass
    assert lost.exists()
    assert lost.prediction("letters:1") is None


@pytest.mark.parametrize("mark", ["replay", "partial"])
def test_history_that_is_published_again_and_what_a_session_says_while_it_runs_makes_no_rows(
    catalog: Catalog, mark: str
) -> None:
    marked = [make_record(one, extensions={mark: "1"}) for one in (made(), right(), outcome())]
    catalog.project([consumed_record(one) for one in marked])
    assert not any(catalog.dump().values())
