"""The disposition of records, in logs made by hand."""

import json
from typing import Any

import polars as pl
import pytest

from app.events.cloudevents import Record
from app.events.types import OutcomeRecorded
from tests.app.replay.logs import ONE, TWO, BuildDataset, history
from tests.support.request_history import RequestHistory, append_to_log, ce_time


def test_the_first_prediction_counts_even_after_a_failure(build: BuildDataset) -> None:
    later_prediction = ONE.prediction_record(output={"sum": 0.0})
    rows, manifest = build(
        append_to_log(
            [
                *history(ONE),
                (0.9, ONE.failure_record()),
                (5, later_prediction),
                (6, TWO.request_record()),
                (7, TWO.failure_record()),
            ]
        )
    )
    assert rows["output"].to_list() == ['{"sum":294.0}']
    assert manifest["counts"]["predictions"]["skipped"] == {"failed": 1, "repeated": 2}
    assert manifest["counts"]["requests"]["skipped"] == {"unanswered": 1}


def test_unreadable_records_are_rejected_and_counted(build: BuildDataset) -> None:
    request, prediction = ONE.request_record(), ONE.prediction_record()
    broken = [Record(r.topic, r.key, b"{", r.headers) for r in (prediction, ONE.feedback_record(1))]
    without_headers = Record(request.topic, request.key, b"x", (("ce_specversion", b"7"),))
    invalid_correction = ONE.feedback_record(2, correction={"sum": "nine"})
    invalid_confidence = TWO.prediction_record(confidence=1.5)
    log = append_to_log(
        [
            *history(ONE),
            *((9.0, record) for record in (*broken, without_headers, invalid_correction, invalid_confidence)),
        ]
    )
    rows, manifest = build(log)
    assert rows.height == 1
    counts = manifest["counts"]
    assert counts["predictions"]["rejected"] == {"unreadable": 2}
    assert counts["requests"]["rejected"] == {"bad_headers": 1}
    assert sum(counts["feedback"]["rejected"].values()) == 1
    assert counts["feedback"]["rows"] == 1


def test_republished_records_are_skipped(build: BuildDataset) -> None:
    republished = [
        Record(record.topic, record.key, record.value, (*record.headers, ("ce_replay", b"x")))
        for _, record in [*history(ONE), (0, ONE.feedback_record(1))]
    ]
    rows, manifest = build(append_to_log([*history(ONE), *((9.0, record) for record in republished)]))
    assert rows["label"].to_list() == [None]
    assert all(count["skipped"] == {"replay": 1} for count in manifest["counts"].values())


def test_chunks_and_partial_answers_of_a_session_are_skipped_but_its_request_is_not(build: BuildDataset) -> None:
    session = RequestHistory(1)
    chunk = session.request_record()  # its id is whatever the application gives it: here the session's own
    chunk_headers = (("ce_session", b"r1"), ("ce_sequence", b"0"))
    log: list[tuple[float, Record]] = [(0.5, Record(chunk.topic, chunk.key, b"ab", (*chunk.headers, *chunk_headers)))]
    log += [
        (0.6, Record(record.topic, record.key, record.value, (*record.headers, ("ce_partial", b"true"))))
        for _, record in history(RequestHistory(2))
    ]
    rows, manifest = build(append_to_log([*log, *history(session)]))
    assert rows["request_id"].to_list() == ["r1"]
    counts = {topic: (count["rows"], count["skipped"]) for topic, count in manifest["counts"].items()}
    assert counts["requests"] == (1, {"chunk": 1, "partial": 1})
    assert counts["features"] == counts["predictions"] == (1, {"partial": 1})


def audit_outcome(probability: float, request: RequestHistory = ONE, **more: Any) -> Record:
    payload = json.loads(request.prediction_record().value or b"")
    fields = {
        name: payload[name] for name in ("prediction_id", "request_id", "task", "output", "confidence", "propensity")
    }
    outcome_recorded = OutcomeRecorded(
        **fields,
        model=payload["model"],
        role="champion",
        request_source="test",
        selection="audit",
        selection_probability=probability,
        **more,
    )
    return outcome_recorded.to_record("letters.outcomes", b"", id=str(probability), source="test", time=ce_time(1))


def test_the_first_outcome_decides_how_a_prediction_was_selected(build: BuildDataset) -> None:
    rows, _ = build(append_to_log([*history(ONE, TWO), (3, audit_outcome(0.01)), (4, audit_outcome(0.5))]))
    assert rows["selection_probability"].to_list() == [0.01, None]
    assert rows["selection"].to_list() == ["audit", None]


@pytest.mark.parametrize(
    ("recorded", "queue", "answered"),
    [(False, "audit", True), (False, None, False), (None, "audit", None), (None, None, None)],
)
def test_a_row_of_the_audit_is_answered_if_its_queue_asked_unless_an_older_release_recorded_it(
    build: BuildDataset, recorded: bool | None, queue: str | None, answered: bool | None
) -> None:
    outcomes = [(3, audit_outcome(0.01, audit_answered=recorded)), (5, audit_outcome(0.5, audit_answered=False))]
    feedback = (4, ONE.feedback_record(1, correction={"sum": 1.0}, queue=queue))
    rows, _ = build(append_to_log([*history(ONE, TWO), *outcomes, feedback]))
    assert rows["audit_answered"].to_list() == [answered, None]
    assert rows["label"].to_list() == ['{"sum":1.0}', None]


def test_an_entity_stays_in_its_split_as_data_grows(build: BuildDataset) -> None:
    def requests(count: int) -> list[RequestHistory]:
        return [RequestHistory(number, entity=f"shop {number % 40}") for number in range(count)]

    few, _ = build(append_to_log(history(*requests(60))))
    many, manifest = build(append_to_log(history(*requests(200))))
    splits = dict(zip(many["entity"], many["split"], strict=True))
    assert dict(zip(few["entity"], few["split"], strict=True)) == splits
    assert many.group_by("entity").agg(pl.col("split").n_unique())["split"].max() == 1
    assert set(manifest["splits"]) == {"train", "validation", "test"}
    assert manifest["splits"]["train"] > 100


def test_requests_without_a_key_that_have_the_same_payload_are_in_one_split(build: BuildDataset) -> None:
    """The hash is in the log: a new version of the preprocessing does not change it."""
    again = [RequestHistory(number, payload_hash=f"hash {number % 40}") for number in range(120)]
    rows, manifest = build(append_to_log(history(*again)))
    assert set(rows["entity"]) == {f"hash {number}" for number in range(40)}
    assert rows.group_by("entity").agg(pl.col("split").n_unique())["split"].max() == 1
    assert set(manifest["splits"]) == {"train", "validation", "test"}
