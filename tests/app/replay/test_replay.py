"""Replay over logs made by hand; tests/integration covers a real broker and archive."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import SetupError
from app.eventlog import snapshot
from app.events.cloudevents import Record
from app.events.lifecycle import DataErased
from app.replay import replay
from app.replay.query import ReplayQuery
from app.settings import Settings, TaskSettings
from models import tensors
from tests.app.replay.logs import LATE, ONE, TASK, THREE, TWO, BuildDataset, history
from tests.support.request_history import RequestHistory, append_to_log, ce_time, take_snapshots, to_datetime


def test_a_row_has_the_request_its_features_the_prediction_and_its_feedback(build: BuildDataset) -> None:
    rows, manifest = build(
        append_to_log([*history(TWO), (9, TWO.feedback_record(1, reward=0.5, correction={"sum": 1.0}))])
    )
    [row] = rows.to_dicts()
    features = tensors.decode(row.pop("features"), row.pop("tensors"))
    assert bytes(features["letters"]) == b"xyz"
    assert row == {
        "prediction_id": TWO.prediction_id,
        "request_id": "r2",
        "request_source": "test",
        "entity": "e2",
        "time": to_datetime(2),
        "split": row["split"],
        "payload": None,
        "output": '{"sum":363.0}',
        "confidence": 0.4,
        "propensity": 1.0,
        "version": "2",
        "role": "champion",
        "label": '{"sum":1.0}',
        "actors": ["ada"],
        "contradicted": False,
        "accepted": None,
        "reward": 0.5,
        "rewards": None,
        "position_rewards": None,
        "reward_defaulted": False,
        "score": 0.0,
        "selection": None,
        "selection_probability": None,
        "audit_answered": None,
        "preferences": None,
    }
    assert manifest["rows"] == 1
    assert manifest["arguments"]["preprocess_version"] == "1"
    assert [(offsets["first"], offsets["last"]) for offsets in manifest["read"]["letters.requests"]] == [(0, 0)]


def test_a_dataset_may_have_payloads_instead_of_features(build: BuildDataset) -> None:
    rows, _ = build(append_to_log(history(ONE, TWO)), content="payload")
    assert rows["payload"].to_list() == [b"abc", b"xyz"]
    assert rows["features"].null_count() == 2
    rows, _ = build(append_to_log(history(ONE)), content="nothing")
    assert rows["payload"].null_count() == rows["features"].null_count() == 1


def test_rows_are_ordered_by_time_and_id_whatever_the_order_of_the_log(build: BuildDataset) -> None:
    late = [(100 + time, record) for time, record in history(ONE)]
    rows, _ = build(append_to_log([*late, *history(TWO, THREE)]))
    assert rows["request_id"].to_list() == ["r1", "r2", "r3"]


def test_as_of_leaves_out_records_that_were_logged_later(build: BuildDataset) -> None:
    log = append_to_log(
        [
            *history(ONE, TWO),
            (50, ONE.feedback_record(1)),
            (60, ONE.feedback_record(2, after_seconds=2, correction={"sum": 2.0})),
        ]
    )
    labels = {as_of: build(log, as_of=to_datetime(as_of))[0]["label"].to_list() for as_of in (2, 49, 50, 59, 60)}
    assert labels == {
        2: [None],
        49: [None, None],
        50: ['{"sum":1.0}', None],
        59: ['{"sum":1.0}', None],
        60: ['{"sum":2.0}', None],
    }


def test_from_and_to_bound_the_time_of_the_request_excluding_the_end(build: BuildDataset) -> None:
    rows, manifest = build(append_to_log(history(ONE, TWO, THREE)), since=to_datetime(2), until=to_datetime(3))
    assert rows["request_id"].to_list() == ["r2"]
    assert manifest["counts"]["requests"]["skipped"] == {"out_of_range": 2}
    assert manifest["requests"] == {"first": to_datetime(1).isoformat(), "last": to_datetime(3).isoformat()}


def test_where_is_a_condition_on_the_columns(build: BuildDataset) -> None:
    rows, manifest = build(append_to_log(history(ONE, TWO)), where="confidence < 0.5 AND version = '2'")
    assert rows["request_id"].to_list() == ["r2"]
    assert manifest["counts"]["predictions"] == {"read": 2, "rows": 1, "skipped": {"where": 1}, "rejected": {}}
    for condition in ("nothing_like_it = 1", "confidence <", "1; DROP TABLE rows"):
        with pytest.raises(SetupError, match="is not a valid condition"):
            build(append_to_log(history(ONE)), where=condition)


def test_every_erasure_counts_in_the_arguments_whatever_as_of(build: BuildDataset) -> None:
    erasure = DataErased(erasure_id="1", by="actor", counts={}, requested_by="ada")
    record = erasure.to_record("lifecycle", b"", id="1", source="test", time=ce_time(9))
    manifest = build(append_to_log([*history(ONE), (9, record)]), as_of=to_datetime(5))[1]
    assert manifest["arguments"]["erasures"] == 1
    assert build(append_to_log(history(ONE)), as_of=to_datetime(5))[1]["arguments"]["erasures"] == 0


def test_a_dataset_is_deleted_if_an_erasure_happens_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    erasure = DataErased(erasure_id="1", by="actor", counts={}, requested_by="ada")
    log = [*history(ONE)]

    async def take(settings: Settings, names: Iterable[str], scratch: Path) -> dict[str, snapshot.Snapshot]:
        return take_snapshots(append_to_log(log), names, scratch)

    async def publish(settings: Settings, records: Sequence[Record]) -> None:
        assert not (tmp_path / "out").exists()
        log.append((9, erasure.to_record("lifecycle", b"", id="1", source="test", time=ce_time(9))))

    monkeypatch.setattr(snapshot, "take", take)
    monkeypatch.setattr(replay, "publish_all", publish)
    with pytest.raises(SetupError, match="erased while the dataset was made"):
        replay.replay(Settings(home=tmp_path), ReplayQuery(TASK, TaskSettings(), LATE), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


FEEDBACK = [
    (20.0, ONE.feedback_record(1)),
    (21.0, ONE.feedback_record(2, after_seconds=5, correction={"sum": 2.0})),
    (22.0, TWO.feedback_record(1, actor="bob", accepted=True)),
    (23.0, RequestHistory(99).feedback_record(1)),
]
EVENTS = [*history(ONE, TWO, THREE), *FEEDBACK]


@pytest.fixture
def expected(build: BuildDataset) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the dataset of all events, in the order in which they happened."""
    return build(append_to_log(EVENTS))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_the_same_events_delivered_twice_and_out_of_order_make_the_same_dataset(
    build: BuildDataset, expected: tuple[pl.DataFrame, dict[str, Any]], random_source: random.Random, files: int
) -> None:
    rows, manifest = expected
    records = [record for _, record in EVENTS]
    deliveries = [*records, *random_source.sample(records, random_source.randint(0, len(records)))]
    random_source.shuffle(deliveries)
    # The log order of two feedback events of one actor makes no difference either: only their times do.
    rows_again, manifest_again = build(
        append_to_log([(float(position), record) for position, record in enumerate(deliveries)]), files
    )
    assert rows_again.equals(rows)
    assert manifest_again["content_hash"] == manifest["content_hash"]
    assert sum(count["read"] for count in manifest_again["counts"].values()) == len(deliveries)


def test_the_content_hash_differs_for_different_content(build: BuildDataset) -> None:
    logs = [
        history(ONE, TWO),
        history(ONE, TWO, RequestHistory(3, b"abd")),
        history(ONE, TWO, RequestHistory(3, confidence=0.8)),
        history(ONE, TWO, RequestHistory(3, version="2")),
        [*history(ONE, TWO, THREE), (9.0, THREE.feedback_record(1))],
        history(ONE, TWO, THREE),
    ]
    assert len({build(append_to_log(log))[1]["content_hash"] for log in logs}) == len(logs)
