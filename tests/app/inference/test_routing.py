"""When routes take effect in a process, while routes change and versions are being loaded."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

import pytest

from app.events.base import ModelRef
from app.events.lifecycle import RetrainingTriggered
from app.events.model_events import DatasetBuilt, ModelRegistered
from app.inference import routing
from app.inference.routing import Router, pin_champion
from app.registry.registry import Registry
from app.registry.routes import Route
from app.settings import Settings
from models.base import Task
from tests.support.fake_registry import FakeSubscription, make_route_change
from tests.support.tasks import Letters


class FakeMLServer:
    """A client of MLServer that serves the given versions."""

    def __init__(self) -> None:
        self.versions: set[str] = set()
        self.awaited: list[str] = []

    def __call__(self, _: Settings) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def wait(self, model: ModelRef) -> None:
        self.awaited.append(model.version)
        while model.version not in self.versions:
            await asyncio.sleep(0)


@pytest.fixture
def mlserver(monkeypatch: pytest.MonkeyPatch) -> FakeMLServer:
    fake = FakeMLServer()
    monkeypatch.setattr(routing, "InferenceClient", fake)
    return fake


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeSubscription:
    subscription = FakeSubscription(Letters())
    monkeypatch.setattr(routing, "subscribe", subscription)
    return subscription


@asynccontextmanager
async def run_router() -> AsyncIterator[Router]:
    router = Router(Settings(), [Letters()])
    run = asyncio.create_task(router.run())
    yield router
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def settle() -> None:
    """Let every task that can continue do so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_lookup_waits_for_the_first_route(mlserver: FakeMLServer, log: FakeSubscription) -> None:
    async with run_router() as router:
        first_route = asyncio.create_task(router.route("letters"))
        log.publish()
        await settle()
        assert not first_route.done()
        mlserver.versions.add("2")
        assert await first_route == Route("2")


async def test_a_route_takes_effect_when_all_its_serving_versions_are_served(
    mlserver: FakeMLServer, log: FakeSubscription
) -> None:
    mlserver.versions.add("2")
    async with run_router() as router:
        log.publish()
        await settle()
        log.publish(make_route_change(champion="1", canary="3", canary_share=0.25))
        for version in ("1", "3"):
            await settle()
            assert await router.route("letters") == Route("2")
            mlserver.versions.add(version)
        await settle()
        assert await router.route("letters") == Route("1", "3", 0.25)


async def test_a_route_does_not_wait_for_its_shadows(mlserver: FakeMLServer, log: FakeSubscription) -> None:
    """Shadows answer no request."""
    mlserver.versions.add("2")
    async with run_router() as router:
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await settle()
        assert await router.route("letters") == Route("2", shadows=("1",))
        assert mlserver.awaited == ["2"]


async def test_a_new_route_cancels_one_that_is_pending(mlserver: FakeMLServer, log: FakeSubscription) -> None:
    """Otherwise the older route would take effect after the newer one, once its version is loaded."""
    mlserver.versions.add("2")
    async with run_router() as router:
        log.publish()
        await settle()
        log.publish(make_route_change(champion="1"))
        await settle()
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await settle()
        mlserver.versions.add("1")
        await settle()
        assert await router.route("letters") == Route("2", shadows=("1",))


async def test_an_event_that_changes_no_route_does_not_query_mlserver_again(
    mlserver: FakeMLServer, log: FakeSubscription
) -> None:
    mlserver.versions.add("2")
    async with run_router() as router:
        for _ in range(3):
            log.publish()
            await settle()
        assert await router.route("letters") == Route("2")
        assert mlserver.awaited == ["2"]


async def test_a_pinned_champion_is_the_champion_of_the_first_lookup(
    monkeypatch: pytest.MonkeyPatch, log: FakeSubscription
) -> None:
    async def read(settings: Settings, tasks: Iterable[Task]) -> Registry:
        return log.registry

    monkeypatch.setattr(routing, "read_registry", read)
    lookup: Any = pin_champion(Settings(), Letters())
    log.publish(make_route_change(champion="1", canary="2", canary_share=0.25))
    assert await lookup() == Route("1")
    log.publish(make_route_change(champion="2"))
    assert await lookup() == Route("1")


async def test_a_router_knows_what_a_version_has_learned_from_its_registration_on(
    mlserver: FakeMLServer, log: FakeSubscription
) -> None:
    mlserver.versions.add("2")
    async with run_router() as router:
        assert router.learned_until("letters", "3") is None
        triggered = RetrainingTriggered(task="letters", run_id="r", trigger="manual", evidence={}, champion="2")
        manifest = {"arguments": {"as_of": "2026-01-31T12:00:00+00:00"}}
        built = DatasetBuilt(
            task="letters", content_hash="h", location="d", rows=1, manifest=manifest, run_id=triggered.run_id
        )
        model = ModelRef(name="letters", version="3")
        registered = ModelRegistered(
            task="letters", model=model, artifact="b", card={}, dataset="h", run_id="r", preprocess_version="1"
        )
        log.publish(triggered, built, registered)
        await settle()
        assert router.learned_until("letters", "3") == datetime(2026, 1, 31, 12, tzinfo=UTC)
        assert router.learned_until("letters", "2") is None
