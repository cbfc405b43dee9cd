"""Replay over logs that are made by hand; over a real broker and archive it is tested in tests/integration."""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import SetupError
from app.eventlog import snapshot
from app.events.cloudevents import ConsumedRecord, Record
from app.events.lifecycle import DataErased
from app.events.types import OutcomeRecorded, PredictionMade
from app.replay import replay
from app.replay.query import ReplayQuery
from app.replay.reconciliation import check_counts
from app.settings import Settings, TaskSettings
from models import tensors
from tests.support.request_history import RequestHistory, append_to_log, ce_time, take_snapshots, to_datetime
from tests.support.tasks import Letters

Log = Sequence[ConsumedRecord]
Build = Callable[..., tuple[pl.DataFrame, dict[str, Any]]]
TASK = Letters()
LATE = to_datetime(1_000_000)


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Replays a log that only Kafka has, in as many files as one likes."""

    def of(
        log: Log, files: int = 1, rules: TaskSettings | None = None, **arguments: Any
    ) -> tuple[pl.DataFrame, dict[str, Any]]:
        async def take(settings: Settings, names: Iterable[str], scratch: Path) -> dict[str, snapshot.Snapshot]:
            return take_snapshots(log, names, scratch, files)

        monkeypatch.setattr(snapshot, "take", take)
        asked: dict[str, Any] = {"task": TASK, "task_settings": rules or TaskSettings(), "as_of": LATE}
        said = ReplayQuery(**(asked | arguments))
        return replay.read_dataframe(Settings(home=tmp_path), said)

    return of


def history(*requests: RequestHistory) -> list[tuple[float, Record]]:
    """Each request, its features and its prediction, a tenth of a second apart."""
    return [
        (request.number + after, record)
        for request in requests
        for after, record in (
            (0, request.request_record()),
            (0.1, request.features_record(TASK)),
            (0.2, request.prediction_record()),
        )
    ]


ONE, TWO, THREE = RequestHistory(1), RequestHistory(2, b"xyz", {"sum": 363.0}, 0.4, "2"), RequestHistory(3)


def test_a_row_has_the_request_its_features_what_was_served_and_what_was_said_of_it(build: Build) -> None:
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
        "reward_defaulted": False,
        "score": 0.0,
        "selection": None,
        "selection_probability": None,
    }
    assert manifest["rows"] == 1
    assert manifest["arguments"]["preprocess_version"] == "1"
    assert [(one["first"], one["last"]) for one in manifest["read"]["letters.requests"]] == [(0, 0)]


def test_payloads_come_instead_of_features(build: Build) -> None:
    rows, _ = build(append_to_log(history(ONE, TWO)), content="payload")
    assert rows["payload"].to_list() == [b"abc", b"xyz"]
    assert rows["features"].null_count() == 2
    rows, _ = build(append_to_log(history(ONE)), content="nothing")
    assert rows["payload"].null_count() == rows["features"].null_count() == 1


def test_rows_are_in_the_order_of_time_and_id_wherever_they_stand_in_the_log(build: Build) -> None:
    late = [(100 + time, record) for time, record in history(ONE)]
    rows, _ = build(append_to_log([*late, *history(TWO, THREE)]))
    assert rows["request_id"].to_list() == ["r1", "r2", "r3"]


def test_as_of_leaves_out_what_was_not_known(build: Build) -> None:
    log = append_to_log(
        [
            *history(ONE, TWO),
            (50, ONE.feedback_record(1)),
            (60, ONE.feedback_record(2, after_seconds=2, correction={"sum": 2.0})),
        ]
    )
    labels = {when: build(log, as_of=to_datetime(when))[0]["label"].to_list() for when in (2, 49, 50, 59, 60)}
    assert labels == {
        2: [None],
        49: [None, None],
        50: ['{"sum":1.0}', None],
        59: ['{"sum":1.0}', None],
        60: ['{"sum":2.0}', None],
    }


def test_from_and_to_bound_the_time_of_the_request_the_end_excluded(build: Build) -> None:
    rows, manifest = build(append_to_log(history(ONE, TWO, THREE)), since=to_datetime(2), until=to_datetime(3))
    assert rows["request_id"].to_list() == ["r2"]
    assert manifest["counts"]["requests"]["skipped"] == {"out_of_range": 2}


def test_where_is_a_condition_on_the_columns(build: Build) -> None:
    rows, manifest = build(append_to_log(history(ONE, TWO)), where="confidence < 0.5 AND version = '2'")
    assert rows["request_id"].to_list() == ["r2"]
    assert manifest["counts"]["predictions"] == {"read": 2, "rows": 1, "skipped": {"where": 1}, "rejected": {}}
    for wrong in ("nothing_like_it = 1", "confidence <", "1; DROP TABLE rows"):
        with pytest.raises(SetupError, match="is no condition"):
            build(append_to_log(history(ONE)), where=wrong)


def test_the_first_prediction_is_the_prediction_and_a_failure_gives_way_to_it(build: Build) -> None:
    again = ONE.prediction_record(output={"sum": 0.0})
    rows, manifest = build(
        append_to_log(
            [
                *history(ONE),
                (0.9, ONE.failure_record()),
                (5, again),
                (6, TWO.request_record()),
                (7, TWO.failure_record()),
            ]
        )
    )
    assert rows["output"].to_list() == ['{"sum":294.0}']
    assert manifest["counts"]["predictions"]["skipped"] == {"failed": 1, "repeated": 2}
    assert manifest["counts"]["requests"]["skipped"] == {"unanswered": 1}


def test_what_can_not_be_read_is_rejected_and_counted(build: Build) -> None:
    asked, predicted = ONE.request_record(), ONE.prediction_record()
    broken = [Record(r.topic, r.key, b"{", r.headers) for r in (predicted, ONE.feedback_record(1))]
    headless = Record(asked.topic, asked.key, b"x", (("ce_specversion", b"7"),))
    refused = ONE.feedback_record(2, correction={"sum": "nine"})
    sure = TWO.prediction_record(confidence=1.5)
    log = append_to_log([*history(ONE), *((9.0, record) for record in (*broken, headless, refused, sure))])
    rows, manifest = build(log)
    assert rows.height == 1
    counts = manifest["counts"]
    assert counts["predictions"]["rejected"] == {"unreadable": 2}
    assert counts["requests"]["rejected"] == {"bad_headers": 1}
    assert sum(counts["feedback"]["rejected"].values()) == 1
    assert counts["feedback"]["rows"] == 1


def test_what_a_replay_published_is_no_history(build: Build) -> None:
    marked = [
        Record(record.topic, record.key, record.value, (*record.headers, ("ce_replay", b"x")))
        for _, record in [*history(ONE), (0, ONE.feedback_record(1))]
    ]
    rows, manifest = build(append_to_log([*history(ONE), *((9.0, record) for record in marked)]))
    assert rows["label"].to_list() == [None]
    assert all(count["skipped"] == {"replay": 1} for count in manifest["counts"].values())


def test_a_sessions_chunks_and_partials_are_no_requests_and_what_it_became_is_one(build: Build) -> None:
    session = RequestHistory(1)
    chunk = session.request_record()  # its id is whatever the application gives it: here the session's own
    place = (("ce_session", b"r1"), ("ce_sequence", b"0"))
    log: list[tuple[float, Record]] = [(0.5, Record(chunk.topic, chunk.key, b"ab", (*chunk.headers, *place)))]
    log += [
        (0.6, Record(record.topic, record.key, record.value, (*record.headers, ("ce_partial", b"true"))))
        for _, record in history(RequestHistory(2))
    ]
    rows, manifest = build(append_to_log([*log, *history(session)]))
    assert rows["request_id"].to_list() == ["r1"]
    counts = {topic: (count["rows"], count["skipped"]) for topic, count in manifest["counts"].items()}
    assert counts["requests"] == (1, {"chunk": 1, "partial": 1})
    assert counts["features"] == counts["predictions"] == (1, {"partial": 1})


def test_a_reward_that_never_came_is_the_default_once_its_window_has_ended(build: Build) -> None:
    rules = TaskSettings(reward_window_seconds=10, reward_default=-0.5)
    log = append_to_log([*history(ONE, TWO), (5, TWO.feedback_record(1, reward=1.0))])
    early, _ = build(log, rules=rules, as_of=to_datetime(9))
    assert early["reward"].to_list() == [None, 1.0]
    late, _ = build(log, rules=rules, as_of=to_datetime(20))
    assert late["reward"].to_list() == [-0.5, 1.0]
    assert late["reward_defaulted"].to_list() == [True, False]


def test_how_a_prediction_was_selected_is_what_the_log_said_first(build: Build) -> None:
    def outcome(probability: float) -> Record:
        made = ONE.prediction_record()
        said = json.loads(made.value or b"")
        kept = {
            name: said[name] for name in ("prediction_id", "request_id", "task", "output", "confidence", "propensity")
        }
        recorded = OutcomeRecorded(
            **kept,
            model=said["model"],
            role="champion",
            request_source="test",
            selection="audit",
            selection_probability=probability,
        )
        return recorded.to_record("letters.outcomes", b"", id=str(probability), source="test", time=ce_time(1))

    rows, _ = build(append_to_log([*history(ONE, TWO), (3, outcome(0.01)), (4, outcome(0.5))]))
    assert rows["selection_probability"].to_list() == [0.01, None]
    assert rows["selection"].to_list() == ["audit", None]


def test_predictions_of_an_earlier_version_are_read_as_those_of_today(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upcast(said: dict[str, Any]) -> dict[str, Any]:
        return said | {"output": {"sum": said["output"]["sum"] + 1}}

    log = append_to_log(history(ONE))
    monkeypatch.setattr(PredictionMade, "type", "hindsight.prediction.made.v2")
    monkeypatch.setattr(PredictionMade, "upcast_v1_v2", staticmethod(upcast), raising=False)
    rows, manifest = build([*log, *append_to_log(history(TWO), epoch="d/t")])
    assert rows["output"].to_list() == ['{"sum":295.0}', '{"sum":363.0}']
    assert manifest["counts"]["predictions"]["rows"] == 2


def test_an_erasure_is_part_of_the_arguments_whenever_it_was(build: Build) -> None:
    erased = DataErased(erasure_id="1", by="actor", counts={}, requested_by="ada")
    record = erased.to_record("lifecycle", b"", id="1", source="test", time=ce_time(9))
    manifest = build(append_to_log([*history(ONE), (9, record)]), as_of=to_datetime(5))[1]
    assert manifest["arguments"]["erasures"] == 1
    assert build(append_to_log(history(ONE)), as_of=to_datetime(5))[1]["arguments"]["erasures"] == 0


def test_a_dataset_that_an_erasure_overtook_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    erased = DataErased(erasure_id="1", by="actor", counts={}, requested_by="ada")
    log = [*history(ONE)]

    async def take(settings: Settings, names: Iterable[str], scratch: Path) -> dict[str, snapshot.Snapshot]:
        return take_snapshots(append_to_log(log), names, scratch)

    async def publish(settings: Settings, records: Sequence[Record]) -> None:
        assert not (tmp_path / "out").exists()
        log.append((9, erased.to_record("lifecycle", b"", id="1", source="test", time=ce_time(9))))

    monkeypatch.setattr(snapshot, "take", take)
    monkeypatch.setattr(replay, "publish_all", publish)
    with pytest.raises(SetupError, match="erased while the dataset was made"):
        replay.replay(Settings(home=tmp_path), ReplayQuery(TASK, TaskSettings(), LATE), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_entity_stays_in_its_split_as_data_grows(build: Build) -> None:
    def requests(count: int) -> list[RequestHistory]:
        return [RequestHistory(number, entity=f"shop {number % 40}") for number in range(count)]

    few, _ = build(append_to_log(history(*requests(60))))
    many, manifest = build(append_to_log(history(*requests(200))))
    splits = dict(zip(many["entity"], many["split"], strict=True))
    assert dict(zip(few["entity"], few["split"], strict=True)) == splits
    assert many.group_by("entity").agg(pl.col("split").n_unique())["split"].max() == 1
    assert set(manifest["splits"]) == {"train", "validation", "test"}
    assert manifest["splits"]["train"] > 100


CORRECTIONS = [
    (20.0, ONE.feedback_record(1)),
    (21.0, ONE.feedback_record(2, after_seconds=5, correction={"sum": 2.0})),
    (22.0, TWO.feedback_record(1, actor="bob", accepted=True)),
    (23.0, RequestHistory(99).feedback_record(1)),
]
WHOLE = [*history(ONE, TWO, THREE), *CORRECTIONS]


@pytest.fixture
def whole(build: Build) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The dataset of all events in the order in which they happened."""
    return build(append_to_log(WHOLE))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_the_same_events_delivered_twice_and_out_of_order_make_the_same_dataset(
    build: Build, whole: tuple[pl.DataFrame, dict[str, Any]], chance: random.Random, files: int
) -> None:
    rows, manifest = whole
    records = [record for _, record in WHOLE]
    others = [*records, *chance.sample(records, chance.randint(0, len(records)))]
    chance.shuffle(others)
    # Where two feedback events of one actor stand in the log makes no difference either: their times do.
    again, counted = build(append_to_log([(float(place), record) for place, record in enumerate(others)]), files)
    assert again.equals(rows)
    assert counted["content_hash"] == manifest["content_hash"]
    assert sum(count["read"] for count in counted["counts"].values()) == len(others)


def test_the_content_hash_tells_any_other_content_apart(build: Build) -> None:
    changed = [
        history(ONE, TWO),
        history(ONE, TWO, RequestHistory(3, b"abd")),
        history(ONE, TWO, RequestHistory(3, confidence=0.8)),
        history(ONE, TWO, RequestHistory(3, version="2")),
        [*history(ONE, TWO, THREE), (9.0, THREE.feedback_record(1))],
        history(ONE, TWO, THREE),
    ]
    assert len({build(append_to_log(log))[1]["content_hash"] for log in changed}) == len(changed)


def test_moments_to_come_and_empty_ranges_are_refused() -> None:
    with pytest.raises(SetupError, match="has not come yet"):
        ReplayQuery(TASK, TaskSettings(), datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(SetupError, match="not before"):
        ReplayQuery(TASK, TaskSettings(), LATE, since=to_datetime(2), until=to_datetime(2))


def test_a_record_that_is_unaccounted_for_breaks_the_law() -> None:
    fine = {"read": 3, "rows": 1, "skipped": {"where": 1}, "rejected": {"unreadable": 1}}
    check_counts({"predictions": fine, "requests": fine, "features": fine}, 1)
    with pytest.raises(AssertionError, match="4 records were read, 3 are accounted for"):
        check_counts({"features": fine | {"read": 4}}, 1)
    with pytest.raises(AssertionError, match="2 rows were written"):
        check_counts({"predictions": fine, "requests": fine}, 2)
