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
from app.events.types import FeedbackGiven
from app.settings import Settings
from tests.support.commands import run_command
from tests.support.fake_inference import make_prediction
from tests.support.kafka_clients import OutgoingRecord, publish
from tests.support.record_strategies import consumed_record, make_dead_letter, make_record

UNIQUE = prediction_id("letters", "app", "1")
SERVED = make_record(make_prediction(UNIQUE, "1", {"sum": 1.0}), topic="letters.predictions")
SAID = make_record(FeedbackGiven(prediction_id=UNIQUE, reward=0.5, actor="ada"), topic="letters.feedback")
ROUTED = make_record(RouteChanged(task="letters", action="promote", champion="1", reason="first", actor="us"))
ROSE = Record("lifecycle", None, b"{}", (("ce_type", LatencyRose.type.encode()),))
LOG = [consumed_record(one, offset) for offset, one in enumerate([SERVED, SAID, ROUTED, make_dead_letter(), ROSE])]
BROKEN = consumed_record(Record("letters.feedback", None, b"not JSON", ()), offset=9)

Log = Callable[[Sequence[ConsumedRecord]], None]


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, tasks={"letters": "tests.support.tasks:Letters"})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Makes the log hold some records."""
    held: list[ConsumedRecord] = []

    async def records(settings: Settings, topic: str) -> AsyncIterator[Sequence[ConsumedRecord]]:
        for one in held:
            if one.origin.topic == topic:
                yield [one]

    monkeypatch.setattr(snapshot, "read_records", records)

    def hold(records: Sequence[ConsumedRecord]) -> None:
        held[:] = records

    return hold


async def test_the_rows_are_those_that_were_projected_live(catalog: Catalog, config: Settings, log: Log) -> None:
    catalog.project([*LOG, BROKEN, *LOG])
    live = catalog.dump()
    log([*LOG, BROKEN])
    assert await rebuild(config, catalog) == RebuildResult(records=len(LOG) + 1, unreadable=1)
    assert catalog.dump() == live


async def test_what_is_not_in_the_log_is_gone(catalog: Catalog, config: Settings, log: Log) -> None:
    catalog.project(LOG)
    log(LOG[1:])
    await rebuild(config, catalog)
    assert catalog.prediction(UNIQUE) is None
    assert len(catalog.prediction_histories([UNIQUE])[UNIQUE].feedback) == 1


async def test_a_rebuild_that_fails_leaves_the_catalog_as_it_was(
    catalog: Catalog, config: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.project(LOG)
    before = catalog.dump()
    log(LOG)

    def fail(topic: str, count: int) -> None:
        if topic == "dead-letters":
            raise RuntimeError("the broker went away")

    with pytest.raises(RuntimeError, match="went away"):
        await rebuild(config, catalog, fail)
    assert catalog.dump() == before


async def test_what_a_live_writer_adds_meanwhile_is_not_lost(
    opened: Callable[[], Catalog], config: Settings, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.catalog.engine.LOCK_SECONDS", 1)
    live, catalog = opened(), opened()
    live.upgrade()
    live.project(LOG[:2])
    log(LOG[:2])
    refused = []

    def meanwhile(topic: str, count: int) -> None:
        if topic == "letters.feedback" and count:
            with pytest.raises(Unavailable) as caught:
                live.project(LOG[2:])
            refused.append(caught)

    await rebuild(config, catalog, meanwhile)
    live.project(LOG[2:])
    assert len(refused) == 1
    expected = opened()
    rebuilt = expected.dump()
    with expected.replace_tables():
        pass
    expected.project(LOG)
    assert rebuilt == expected.dump()


async def test_the_digests_of_equal_rows_are_equal_on_any_database(
    catalog: Catalog, tmp_path: Path, config: Settings, log: Log
) -> None:
    log(LOG)
    await rebuild(config, catalog)
    another = Catalog(f"sqlite:///{tmp_path / 'another.sqlite'}")
    another.upgrade()
    another.project(LOG[::-1])
    assert digest_tables(catalog) == digest_tables(another)
    assert {name: digest.rows for name, digest in digest_tables(another).items() if digest.rows} == {
        "predictions": 1,
        "feedback": 1,
        "route_changes": 1,
        "dead_letters": 1,
    }
    another.project([consumed_record(make_dead_letter(1))])
    assert digest_tables(catalog)["dead_letters"] != digest_tables(another)["dead_letters"]
    assert digest_tables(catalog)["feedback"] == digest_tables(another)["feedback"]
    another.close()


def test_features_and_requests_are_not_read(config: Settings) -> None:
    assert rebuilding.projected_topics(config) == [
        "letters.predictions",
        "letters.shadow-predictions",
        "letters.feedback",
        "letters.outcomes",
        "lifecycle",
        "dead-letters",
    ]


async def test_a_command_rebuilds_from_a_real_log(platform: Settings, url: str) -> None:
    sent = [SERVED, SERVED, SAID, ROUTED]
    for one in sent:
        await publish(platform, one.topic, [OutgoingRecord(one.value, one.key, one.headers)])
    config = platform.model_copy(update={"database_url": SecretStr(url)})
    runs = [await run_command(config, "hindsight", "rebuild", "--json") for _ in range(2)]
    assert [run.code for run in runs] == [0, 0], runs[0].err
    assert runs[0].out == runs[1].out
    *tables, counts = map(json.loads, runs[0].out.splitlines())
    assert counts["records"] >= len(sent)
    catalog = Catalog(url)
    assert digest_tables(catalog) == {row.pop("table"): rebuilding.TableDigest(**row) for row in tables}
    served = catalog.prediction_histories([UNIQUE])[UNIQUE].served
    assert served is not None and served.prediction.model == ModelRef(name="letters", version="1")
    catalog.close()


async def test_a_database_that_is_away_is_said_with_the_remedy(platform: Settings, tmp_path: Path) -> None:
    config = platform.model_copy(update={"database_url": SecretStr(f"postgresql://hindsight@/db?host={tmp_path}")})
    run = await run_command(config, "hindsight", "rebuild")
    assert run.code == 1
    assert run.err.splitlines()[0].startswith("error: the catalog at postgresql")
    assert run.err.splitlines()[1].startswith("  Remedy: ")


async def test_feedback_that_the_task_refuses_has_no_row_as_it_had_none_live(
    catalog: Catalog, tmp_path: Path, log: Log
) -> None:
    refused = FeedbackGiven(prediction_id=UNIQUE, correction={"colour": "red"}, actor="ada")
    log([consumed_record(make_record(refused, topic="letters.feedback"))])
    config = Settings(home=tmp_path, tasks={"letters": "tests.support.sum_task:SumTask"})
    assert await rebuild(config, catalog) == RebuildResult(records=1, unreadable=1)
    assert not any(catalog.dump().values())
