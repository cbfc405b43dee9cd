"""Faust agents for tests."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from app.events.cloudevents import ConsumedRecord
from app.settings import Settings
from app.streams.batching import BatchLimits
from app.streams.delivery import HandlerResult
from app.streams.faust_app import App, make_app, register_agent

MAX_EVENTS = 16


@asynccontextmanager
async def run_agent(
    settings: Settings, topic: str, handle: Callable[[Sequence[ConsumedRecord]], Awaitable[None]], **overrides: Any
) -> AsyncIterator[App]:
    """Run an agent of the topic, in the topic's own group. `overrides` are settings of Faust."""
    app = make_app(settings, f"group-{topic}", **overrides)

    async def handle_batch(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        await handle(batch)
        return [()] * len(batch)

    register_agent(
        app,
        settings,
        name="agent",
        topic=topic,
        stage="test",
        handle=handle_batch,
        reject=lambda record, failure: (),
        limits=BatchLimits(MAX_EVENTS, 0),
    )
    app.finalize()
    await app.start()
    try:
        yield app
    finally:
        await app.stop()
