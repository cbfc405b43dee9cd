import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.catalog import rebuild as rebuilding
from app.catalog.catalog import Catalog
from app.catalog.rebuild import RebuildResult, digest_tables, rebuild
from app.errors import Unavailable
from app.eventlog import snapshot
from app.events.base import ModelRef
from app.events.cloudevents import ConsumedRecord, Record
from app.events.ids import prediction_id
from app.events.lifecycle import LatencyRose
from app.events.model_events import RouteChanged
from app.events.types import FeedbackGiven, FeedbackRetracted
from app.settings import Settings
from tests.support.commands import invoke_hindsight, run_command
from tests.support.fake_inference import make_prediction
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.record_strategies import consumed_record, make_dead_letter, make_record

PREDICTION = prediction_id("letters", "app", "1")
SERVED = make_record(make_prediction(PREDICTION, "1", {"sum": 1.0}), topic="letters.predictions")
FEEDBACK = make_record(FeedbackGiven(prediction_id=PREDICTION, reward=0.5, actor="ada"), topic="letters.feedback")
RETRACTION = make_record(
    FeedbackRetracted(prediction_id=PREDICTION, retracts="1", actor="ada"), topic="letters.feedback"
)
ROUTE_CHANGE = make_record(RouteChanged(task="letters", action="promote", champion="1", reason="first", actor="us"))
LATENCY = Record("lifecycle", None, b"{}", (("ce_type", LatencyRose.type.encode()),))
LOG = [
    consumed_record(record, offset)
    for offset, record in enumerate([SERVED, FEEDBACK, RETRACTION, ROUTE_CHANGE, make_dead_letter(), LATENCY])
]
UNREADABLE = consumed_record(Record("letters.feedback", None, b"not JSON", ()), offset=9)

SetLog = Callable[[Sequence[ConsumedRecord]], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, tasks={"letters": "tests.support.tasks:Letters"})


@pytest.fixture
def set_log(monkeypatch: pytest.MonkeyPatch) -> SetLog:
    """Return a function that sets the records of the log."""
    log_records: list[ConsumedRecord] = []

    async def records(settings: Settings, topic: str) -> AsyncIterator[Sequence[ConsumedRecord]]:
        for record in log_records:
            if record.origin.topic == topic:
                yield [record]

    monkeypatch.setattr(snapshot, "read_records", records)

    def replace_log(records: Sequence[ConsumedRecord]) -> None:
        log_records[:] = records

    return replace_log


async def test_a_rebuild_makes_the_rows_that_were_projected_live(
    catalog: Catalog, settings: Settings, set_log: SetLog
) -> None:
    catalog.project([*LOG, UNREADABLE, *LOG])
    live = catalog.dump()
    set_log([*LOG, UNREADABLE])
    assert await rebuild(settings, catalog) == RebuildResult(records=len(LOG) + 1, unreadable=1)
    assert catalog.dump() == live


async def test_a_rebuild_removes_rows_whose_records_are_not_in_the_log(
    catalog: Catalog, settings: Settings, set_log: SetLog
) -> None:
    catalog.project(LOG)
    set_log(LOG[1:])
    await rebuild(settings, catalog)
    assert catalog.prediction(PREDICTION) is None
    assert len(catalog.prediction_histories([PREDICTION])[PREDICTION].feedback) == 1


async def test_a_rebuild_that_fails_leaves_the_catalog_as_it_was(
    catalog: Catalog, settings: Settings, set_log: SetLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.project(LOG)
    before = catalog.dump()
    set_log(LOG)

    def fail(topic: str, count: int) -> None:
        if topic == "dead-letters":
            raise RuntimeError("the broker went away")

    with pytest.raises(RuntimeError, match="went away"):
        await rebuild(settings, catalog, fail)
    assert catalog.dump() == before


async def test_a_rebuild_loses_no_rows_of_a_concurrent_writer(
    open_catalog: Callable[[], Catalog], settings: Settings, set_log: SetLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.catalog.engine.LOCK_SECONDS", 1)
    live, catalog = open_catalog(), open_catalog()
    live.upgrade()
    live.project(LOG[:2])
    set_log(LOG[:2])
    errors = []

    def write_meanwhile(topic: str, count: int) -> None:
        if topic == "letters.feedback" and count:
            with pytest.raises(Unavailable) as caught:
                live.project(LOG[2:])
            errors.append(caught)

    await rebuild(settings, catalog, write_meanwhile)
    live.project(LOG[2:])
    assert len(errors) == 1
    expected = open_catalog()
    rebuilt = expected.dump()
    with expected.replace_tables():
        pass
    expected.project(LOG)
    assert rebuilt == expected.dump()


async def test_the_digests_of_equal_rows_are_equal_on_any_database(
    catalog: Catalog, tmp_path: Path, settings: Settings, set_log: SetLog
) -> None:
    set_log(LOG)
    await rebuild(settings, catalog)
    another = Catalog(f"sqlite:///{tmp_path / 'another.sqlite'}")
    another.upgrade()
    another.project(LOG[::-1])
    assert digest_tables(catalog) == digest_tables(another)
    assert {name: digest.rows for name, digest in digest_tables(another).items() if digest.rows} == {
        "predictions": 1,
        "feedback": 1,
        "retractions": 1,
        "route_changes": 1,
        "dead_letters": 1,
    }
    another.project([consumed_record(make_dead_letter(1))])
    assert digest_tables(catalog)["dead_letters"] != digest_tables(another)["dead_letters"]
    assert digest_tables(catalog)["feedback"] == digest_tables(another)["feedback"]
    another.close()


def test_a_rebuild_reads_no_features_and_requests(settings: Settings) -> None:
    assert rebuilding.projected_topics(settings) == [
        "letters.predictions",
        "letters.shadow-predictions",
        "letters.feedback",
        "letters.outcomes",
        "lifecycle",
        "dead-letters",
    ]


async def test_a_command_rebuilds_from_a_real_log(platform: Settings, url: str) -> None:
    records = [SERVED, SERVED, FEEDBACK, ROUTE_CHANGE]
    for record in records:
        await publish(platform, record.topic, [OutgoingRecord(record.value, record.key, record.headers)])
    settings = platform.model_copy(update={"database_url": SecretStr(url)})
    runs = [await invoke_hindsight(settings, "rebuild", "--json") for _ in range(2)]
    assert [run.code for run in runs] == [0, 0], runs[0].err
    assert runs[0].out == runs[1].out
    *tables, counts = map(json.loads, runs[0].out.splitlines())
    assert counts["records"] >= len(records)
    catalog = Catalog(url)
    assert digest_tables(catalog) == {row.pop("table"): rebuilding.TableDigest(**row) for row in tables}
    served = catalog.prediction_histories([PREDICTION])[PREDICTION].served
    assert served is not None and served.prediction.model == ModelRef(name="letters", version="1")
    catalog.close()


async def test_an_unreachable_database_is_reported_with_the_remedy(platform: Settings, tmp_path: Path) -> None:
    settings = platform.model_copy(update={"database_url": SecretStr(f"postgresql://hindsight@/db?host={tmp_path}")})
    run = await run_command(settings, "hindsight", "rebuild")
    assert run.code == 1
    assert run.err.splitlines()[0].startswith("error: the catalog at postgresql")
    assert run.err.splitlines()[1].startswith("  Remedy: ")


async def test_feedback_that_the_task_rejects_has_no_row(catalog: Catalog, tmp_path: Path, set_log: SetLog) -> None:
    feedback = FeedbackGiven(prediction_id=PREDICTION, correction={"colour": "red"}, actor="ada")
    set_log([consumed_record(make_record(feedback, topic="letters.feedback"))])
    settings = Settings(home=tmp_path, tasks={"letters": "tests.support.sum_task:SumTask"})
    assert await rebuild(settings, catalog) == RebuildResult(records=1, unreadable=1)
    assert not any(catalog.dump().values())
