"""The catalog agents: what is in the log into the catalog's tables, inside the delivery guard.

Predictions and feedback are not here: the agent that joins them writes them into the catalog before it reads it.
"""

import asyncio
import logging
from collections.abc import Sequence

from app.catalog.catalog import Catalog
from app.events import topics
from app.events.cloudevents import ConsumedRecord, Record
from app.events.types import Failure
from app.settings import Settings
from app.streams.batching import BatchLimits
from app.streams.delivery import HandlerResult
from app.streams.faust_app import App, register_agent

log = logging.getLogger(__name__)

STAGE = "catalog"
BATCH_LIMITS = BatchLimits(1000, 0.1)


def register(app: App, settings: Settings) -> None:
    """One agent for each topic."""
    catalog = Catalog(settings.catalog_url)

    async def handle(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        await asyncio.to_thread(catalog.project, batch)
        return [()] * len(batch)

    of_tasks = [kind(task) for task in settings.tasks for kind in (topics.outcomes, topics.shadow_predictions)]
    for topic in (*of_tasks, topics.LIFECYCLE, topics.DEAD_LETTERS):
        register_agent(
            app,
            settings,
            name=f"catalog-{topic}",
            topic=topic,
            stage=STAGE,
            handle=handle,
            reject=_reject,
            limits=BATCH_LIMITS,
        )


def _reject(incoming: ConsumedRecord, failure: Failure) -> Sequence[Record]:
    """The log has it, and a rebuild after a fix brings it. A dead letter of it would only come here again."""
    log.error("the catalog lacks %s until `hindsight rebuild`: %s", incoming.origin.position, failure.reason)
    return ()
