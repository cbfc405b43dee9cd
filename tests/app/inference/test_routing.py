"""Routes as they come into force in a process, whatever is said while versions are being loaded."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest

from app.events.base import ModelRef
from app.inference import routing
from app.inference.routing import Router, pin_champion
from app.registry.registry import Registry
from app.registry.routes import Route
from app.settings import Settings
from models.base import Task
from tests.support.fake_registry import FakeSubscription, make_route_change
from tests.support.tasks import Letters


class Served:
    """Stands in for MLServer: it serves what it is told to."""

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
def mlserver(monkeypatch: pytest.MonkeyPatch) -> Served:
    found = Served()
    monkeypatch.setattr(routing, "InferenceClient", found)
    return found


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FakeSubscription:
    found = FakeSubscription(Letters())
    monkeypatch.setattr(routing, "subscribe", found)
    return found


@asynccontextmanager
async def running() -> AsyncIterator[Router]:
    found = Router(Settings(), [Letters()])
    follows = asyncio.create_task(found.run())
    yield found
    follows.cancel()
    await asyncio.gather(follows, return_exceptions=True)


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_the_first_route_is_waited_for(mlserver: Served, log: FakeSubscription) -> None:
    async with running() as found:
        asked = asyncio.create_task(found.route("letters"))
        log.publish()
        await settled()
        assert not asked.done()
        mlserver.versions.add("2")
        assert await asked == Route("2")


async def test_a_route_comes_into_force_when_all_that_answer_by_it_are_served(
    mlserver: Served, log: FakeSubscription
) -> None:
    mlserver.versions.add("2")
    async with running() as found:
        log.publish()
        await settled()
        log.publish(make_route_change(champion="1", canary="3", canary_share=0.25))
        for served in ("1", "3"):
            await settled()
            assert await found.route("letters") == Route("2")
            mlserver.versions.add(served)
        await settled()
        assert await found.route("letters") == Route("1", "3", 0.25)


async def test_a_route_does_not_wait_for_its_shadows(mlserver: Served, log: FakeSubscription) -> None:
    """They answer nobody."""
    mlserver.versions.add("2")
    async with running() as found:
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await settled()
        assert await found.route("letters") == Route("2", shadows=("1",))
        assert mlserver.awaited == ["2"]


async def test_a_new_route_cancels_one_that_is_pending(mlserver: Served, log: FakeSubscription) -> None:
    """Else the older one would come into force after the newer one, once its version is loaded."""
    mlserver.versions.add("2")
    async with running() as found:
        log.publish()
        await settled()
        log.publish(make_route_change(champion="1"))
        await settled()
        log.publish(make_route_change(champion="2", shadows=("1",)))
        await settled()
        mlserver.versions.add("1")
        await settled()
        assert await found.route("letters") == Route("2", shadows=("1",))


async def test_what_changes_no_route_asks_for_nothing(mlserver: Served, log: FakeSubscription) -> None:
    mlserver.versions.add("2")
    async with running() as found:
        for _ in range(3):
            log.publish()
            await settled()
        assert await found.route("letters") == Route("2")
        assert mlserver.awaited == ["2"]


async def test_who_has_no_part_in_a_trial_keeps_the_champion_of_when_it_first_asked(
    monkeypatch: pytest.MonkeyPatch, log: FakeSubscription
) -> None:
    async def read(settings: Settings, tasks: Iterable[Task]) -> Registry:
        return log.registry

    monkeypatch.setattr(routing, "read_registry", read)
    ask: Any = pin_champion(Settings(), Letters())
    log.publish(make_route_change(champion="1", canary="2", canary_share=0.25))
    assert await ask() == Route("1")
    log.publish(make_route_change(champion="2"))
    assert await ask() == Route("1")
