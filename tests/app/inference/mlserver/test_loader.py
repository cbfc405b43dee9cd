"""Which versions are loaded, as routes change while others are being loaded."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from app.errors import Unavailable
from app.events.base import ModelRef
from app.events.model_events import ModelRegistered
from app.inference.mlserver import loader
from app.inference.mlserver.client import InferenceClient
from app.inference.mlserver.loader import ModelLoader
from app.settings import Settings
from app.storage.blob_store import blob_store
from tests.support.fake_registry import FakeSubscription, make_route_change
from tests.support.tasks import Letters

MODEL = b"a model"


class Server:
    """Stands in for MLServer: it loads what is in its repository, unless it is told not to."""

    def __init__(self, settings: Settings) -> None:
        self._repository = settings.model_repository
        self.loaded: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.refusals = 0
        """So many calls fail."""

    async def load(self, model: ModelRef) -> None:
        self._refuse()
        assert (self._repository / f"letters-{model.version}" / "model.onnx").exists()
        self.loaded.add(model.version)
        self.calls.append(("load", model.version))

    async def serves(self, model: ModelRef) -> bool:
        return model.version in self.loaded

    async def unload(self, model: ModelRef) -> None:
        self._refuse()
        self.loaded.discard(model.version)
        self.calls.append(("unload", model.version))

    def _refuse(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("MLServer is away")


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def mlserver(config: Settings) -> Server:
    return Server(config)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeSubscription:
    found = FakeSubscription(Letters())
    monkeypatch.setattr(loader, "subscribe", found)
    monkeypatch.setattr(loader, "GRACE_SECONDS", 0)
    monkeypatch.setattr(loader, "POLL_SECONDS", 0.01)
    return found


@asynccontextmanager
async def running(config: Settings, server: Server) -> AsyncIterator[None]:
    loads = asyncio.create_task(ModelLoader(config, [Letters()], cast(InferenceClient, server)).run())
    yield
    assert not loads.done()
    loads.cancel()
    await asyncio.gather(loads, return_exceptions=True)


async def until(server: Server, *versions: str) -> None:
    """Wait for these to be the versions that are loaded, and for what may still happen to happen."""
    async with asyncio.timeout(10):
        while server.loaded != set(versions):
            await asyncio.sleep(0.001)
    await settled()
    assert server.loaded == set(versions)


async def settled() -> None:
    await asyncio.sleep(0.05)


def missing(config: Settings) -> ModelRegistered:
    """Version 3, whose file is not there until it is restored."""
    artifact = blob_store(config).put(MODEL)
    shutil.rmtree(config.home / "blobs")
    model = ModelRef(name="letters", version="3")
    return ModelRegistered(task="letters", model=model, artifact=artifact, card={}, preprocess_version="1")


def restore(config: Settings) -> None:
    blob_store(config).put(MODEL)


def installed(config: Settings) -> set[str]:
    return {path.name for path in config.model_repository.iterdir()}


async def test_every_version_that_the_route_needs_is_loaded(
    config: Settings, mlserver: Server, log: FakeSubscription
) -> None:
    async with running(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await until(mlserver, "1", "2")


async def test_what_no_route_needs_any_more_is_unloaded_and_taken_away(
    config: Settings, mlserver: Server, log: FakeSubscription
) -> None:
    async with running(config, mlserver):
        log.publish()
        await until(mlserver, "2")
        log.publish(make_route_change(champion="1"))
        await until(mlserver, "1")
        assert installed(config) == {"letters-1"}


async def test_a_version_serves_on_while_its_replacement_is_not_loaded(
    config: Settings, mlserver: Server, log: FakeSubscription, impatient: None
) -> None:
    registered = missing(config)
    async with running(config, mlserver):
        log.publish(registered)
        await until(mlserver, "2")
        log.publish(make_route_change(champion="3"))
        await settled()
        assert mlserver.loaded == {"2"}
        restore(config)
        await until(mlserver, "3")


async def test_a_version_that_is_needed_again_within_its_grace_stays(
    config: Settings, mlserver: Server, log: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "GRACE_SECONDS", 0.2)
    async with running(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await until(mlserver, "1", "2")
        log.publish(make_route_change(champion="2"))
        await asyncio.sleep(0)
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await asyncio.sleep(0.3)
        log.publish()
        await settled()
        assert sorted(mlserver.calls) == [("load", "1"), ("load", "2")]


async def test_a_version_that_is_needed_again_later_is_loaded_again(
    config: Settings, mlserver: Server, log: FakeSubscription
) -> None:
    async with running(config, mlserver):
        for champion in ("1", "2", "1"):
            log.publish(make_route_change(champion=champion))
            await until(mlserver, champion)


async def test_a_load_that_is_refused_is_tried_again(
    config: Settings, mlserver: Server, log: FakeSubscription, impatient: None
) -> None:
    mlserver.refusals = 3
    async with running(config, mlserver):
        log.publish()
        await until(mlserver, "2")


async def test_a_version_that_mlserver_has_lost_is_loaded_again(
    config: Settings, mlserver: Server, log: FakeSubscription, impatient: None
) -> None:
    async with running(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await until(mlserver, "1", "2")
        mlserver.refusals = 2
        mlserver.loaded.clear()
        await until(mlserver, "1", "2")


async def test_a_version_whose_file_is_missing_waits_for_it_and_holds_nobody_up(
    config: Settings, mlserver: Server, log: FakeSubscription, impatient: None
) -> None:
    registered = missing(config)
    async with running(config, mlserver):
        log.publish(registered, make_route_change(champion="3", shadows=("1",)))
        await until(mlserver, "1")
        restore(config)
        await until(mlserver, "1", "3")
        assert (config.model_repository / "letters-3" / "model.onnx").read_bytes() == MODEL


async def test_a_version_that_can_not_be_unloaded_ends_nothing(
    config: Settings, mlserver: Server, log: FakeSubscription, caplog: Any
) -> None:
    async with running(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await until(mlserver, "1", "2")
        mlserver.refusals = 1
        log.publish(make_route_change(champion="2"))
        await settled()
        assert "letters-1 can't be unloaded" in caplog.text
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await until(mlserver, "1", "2")
