"""The catalog agents: what is in the log into the catalog's tables, inside the delivery guard.

Predictions and feedback are not here: the agent that joins them writes them into the catalog before it reads it.
"""

import asyncio
import logging
from collections.abc import Sequence

from app.catalog.catalog import Catalog
from app.events import topics
from app.events.cloudevents import Incoming, Record
from app.events.types import Failure
from app.settings import Settings
from app.streams.batching import Bounds
from app.streams.delivery import Answer
from app.streams.faust_app import App, agent

log = logging.getLogger(__name__)

STAGE = "catalog"
BOUNDS = Bounds(1000, 0.1)


def register(app: App, settings: Settings) -> None:
    """One agent for each topic."""
    catalog = Catalog(settings.database)

    async def handle(batch: Sequence[Incoming]) -> Sequence[Answer]:
        await asyncio.to_thread(catalog.project, batch)
        return [()] * len(batch)

    of_tasks = [kind(task) for task in settings.tasks for kind in (topics.outcomes, topics.shadow_predictions)]
    for topic in (*of_tasks, topics.LIFECYCLE, topics.DEAD_LETTERS):
        agent(
            app,
            settings,
            name=f"catalog-{topic}",
            topic=topic,
            stage=STAGE,
            handle=handle,
            reject=_reject,
            bounds=BOUNDS,
        )


def _reject(incoming: Incoming, failure: Failure) -> Sequence[Record]:
    """The log has it, and a rebuild after a fix brings it. A dead letter of it would only come here again."""
    log.error("the catalog lacks %s until `hindsight rebuild`: %s", incoming.origin.place, failure.reason)
    return ()
