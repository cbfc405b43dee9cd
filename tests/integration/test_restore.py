"""Kafka is lost: versions, champions and the catalog come back from the archive."""

import json
import shutil
from pathlib import Path

import pytest

from app.catalog.catalog import Catalog
from app.catalog.rebuild import digest_tables
from app.events import topics
from app.events.base import EventData, ModelRef
from app.events.cloudevents import Record
from app.events.model_events import ModelRegistered, RouteChanged
from app.kafka.producers import publish_all
from app.registry.registry import TaskModels
from app.registry.subscription import read_registry
from app.settings import Settings
from tests.support.archive import wait_until_archived
from tests.support.commands import run_hindsight
from tests.support.platform import platform_settings, run_processes
from tests.support.tasks import Letters


def record(unique: str, data: EventData) -> Record:
    return data.to_record(topics.LIFECYCLE, b"letters", id=unique, source="test", time="2026-01-01T00:00:00Z")


def registered(version: str) -> Record:
    model, artifact = ModelRef(name="letters", version=version), f"blob://{version}"
    data = ModelRegistered(task="letters", model=model, artifact=artifact, card={}, preprocess_version="1")
    return record(f"registered {version}", data)


def promoted(version: str, replaced: str, follows: str | None) -> Record:
    data = RouteChanged(
        task="letters", action="promote", follows=follows, champion=version, replaced=replaced, reason="it", actor="us"
    )
    return record(f"promoted {version}", data)


async def read_models(settings: Settings) -> TaskModels:
    return (await read_registry(settings, [Letters()])).tasks["letters"]


async def test_after_the_loss_of_kafka_and_the_database_versions_and_champion_are_as_before(tmp_path: Path) -> None:
    settings = platform_settings(tmp_path, tasks={"letters": "tests.support.tasks:Letters"})
    history = [registered("2"), promoted("2", "1", None), registered("3"), promoted("3", "2", "promoted 2")]
    async with run_processes(settings, only=("kafka", "archive", "recorder")):
        await publish_all(settings, history)
        before = await read_models(settings)
        await wait_until_archived(settings, topics.LIFECYCLE)
    assert (before.route.champion, list(before.versions)) == ("3", ["1", "2", "3"])
    shutil.rmtree(settings.home / "kafka")
    (settings.home / "catalog.sqlite").unlink()
    for restored in (4, 0):
        result = await run_hindsight(settings, "restore", "--json")
        assert json.loads(result.out)["restored"] == restored
    async with run_processes(settings, only=("kafka",)):
        assert await read_models(settings) == before
        await publish_all(settings, [registered("3"), registered("4")])
        assert list((await read_models(settings)).versions) == ["1", "2", "3", "4"], "a number is given once"
        catalog = Catalog(settings.catalog_url)
        assert digest_tables(catalog)["versions"].rows == 2
        catalog.close()


@pytest.mark.soak
async def test_a_cluster_with_a_history_of_its_own_is_left_alone(tmp_path: Path) -> None:
    settings = platform_settings(tmp_path, tasks={"letters": "tests.support.tasks:Letters"})
    async with run_processes(settings, only=("kafka", "archive")):
        await publish_all(settings, [registered("2"), registered("3")])
        await wait_until_archived(settings, topics.LIFECYCLE)
    shutil.rmtree(settings.home / "kafka")
    async with run_processes(settings, only=("kafka",)):
        await publish_all(settings, [registered("9")])
    result = await run_hindsight(settings, "restore")
    assert result.code == 1
    assert "a history of its own" in result.err
