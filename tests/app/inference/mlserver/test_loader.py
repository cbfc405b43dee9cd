"""Which versions are loaded while routes change."""

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


class FakeMLServer:
    """Loads versions from its repository, except for the next `refusals` calls."""

    def __init__(self, settings: Settings) -> None:
        self._repository = settings.model_repository
        self.loaded: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.refusals = 0

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
            raise Unavailable("MLServer is down")


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def mlserver(config: Settings) -> FakeMLServer:
    return FakeMLServer(config)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeSubscription:
    subscription = FakeSubscription(Letters())
    monkeypatch.setattr(loader, "subscribe", subscription)
    monkeypatch.setattr(loader, "GRACE_SECONDS", 0)
    monkeypatch.setattr(loader, "POLL_SECONDS", 0.01)
    return subscription


@asynccontextmanager
async def run_loader(config: Settings, server: FakeMLServer) -> AsyncIterator[None]:
    run = asyncio.create_task(ModelLoader(config, [Letters()], cast(InferenceClient, server)).run())
    yield
    assert not run.done()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def wait_loaded(server: FakeMLServer, *versions: str) -> None:
    """Wait wait_loaded exactly these versions are loaded, and check that they still are a moment later."""
    async with asyncio.timeout(10):
        while server.loaded != set(versions):
            await asyncio.sleep(0.001)
    await settle()
    assert server.loaded == set(versions)


async def settle() -> None:
    await asyncio.sleep(0.05)


def register_missing(config: Settings) -> ModelRegistered:
    """Return the registration of version 3, whose file is missing until `restore`."""
    artifact = blob_store(config).put(MODEL)
    shutil.rmtree(config.home / "blobs")
    model = ModelRef(name="letters", version="3")
    return ModelRegistered(task="letters", model=model, artifact=artifact, card={}, preprocess_version="1")


def restore(config: Settings) -> None:
    blob_store(config).put(MODEL)


def installed(config: Settings) -> set[str]:
    return {path.name for path in config.model_repository.iterdir()}


async def test_every_version_that_the_route_needs_is_loaded(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription
) -> None:
    async with run_loader(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await wait_loaded(mlserver, "1", "2")


async def test_a_version_that_no_route_needs_is_unloaded_and_removed(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription
) -> None:
    async with run_loader(config, mlserver):
        log.publish()
        await wait_loaded(mlserver, "2")
        log.publish(make_route_change(champion="1"))
        await wait_loaded(mlserver, "1")
        assert installed(config) == {"letters-1"}


async def test_a_version_keeps_serving_while_its_replacement_is_not_loaded(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription, impatient: None
) -> None:
    registered = register_missing(config)
    async with run_loader(config, mlserver):
        log.publish(registered)
        await wait_loaded(mlserver, "2")
        log.publish(make_route_change(champion="3"))
        await settle()
        assert mlserver.loaded == {"2"}
        restore(config)
        await wait_loaded(mlserver, "3")


async def test_a_version_that_is_needed_again_within_its_grace_period_stays_loaded(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "GRACE_SECONDS", 0.2)
    async with run_loader(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await wait_loaded(mlserver, "1", "2")
        log.publish(make_route_change(champion="2"))
        await asyncio.sleep(0)
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await asyncio.sleep(0.3)
        log.publish()
        await settle()
        assert sorted(mlserver.calls) == [("load", "1"), ("load", "2")]


async def test_a_version_that_is_needed_again_later_is_loaded_again(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription
) -> None:
    async with run_loader(config, mlserver):
        for champion in ("1", "2", "1"):
            log.publish(make_route_change(champion=champion))
            await wait_loaded(mlserver, champion)


async def test_a_refused_load_is_retried(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription, impatient: None
) -> None:
    mlserver.refusals = 3
    async with run_loader(config, mlserver):
        log.publish()
        await wait_loaded(mlserver, "2")


async def test_a_version_that_mlserver_has_lost_is_loaded_again(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription, impatient: None
) -> None:
    async with run_loader(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await wait_loaded(mlserver, "1", "2")
        mlserver.refusals = 2
        mlserver.loaded.clear()
        await wait_loaded(mlserver, "1", "2")


async def test_a_version_waits_for_its_missing_file_without_delaying_others(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription, impatient: None
) -> None:
    registered = register_missing(config)
    async with run_loader(config, mlserver):
        log.publish(registered, make_route_change(champion="3", shadows=("1",)))
        await wait_loaded(mlserver, "1")
        restore(config)
        await wait_loaded(mlserver, "1", "3")
        assert (config.model_repository / "letters-3" / "model.onnx").read_bytes() == MODEL


async def test_the_loader_continues_after_a_refused_unload(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription, caplog: Any
) -> None:
    async with run_loader(config, mlserver):
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await wait_loaded(mlserver, "1", "2")
        mlserver.refusals = 1
        log.publish(make_route_change(champion="2"))
        await settle()
        assert "letters-1 can't be unloaded" in caplog.text
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await wait_loaded(mlserver, "1", "2")


async def test_a_version_of_other_features_is_not_loaded_and_the_log_says_why(
    config: Settings, mlserver: FakeMLServer, log: FakeSubscription, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = blob_store(config).put(MODEL)
    model = ModelRef(name="letters", version="3")
    async with run_loader(config, mlserver):
        log.publish(ModelRegistered(task="letters", model=model, artifact=artifact, card={}, preprocess_version="0"))
        log.publish(make_route_change(champion="3", shadows=("1",)))
        await wait_loaded(mlserver, "1")
    assert "letters-3 cannot be loaded" in caplog.text
    assert "features of preprocess version 0" in caplog.text
