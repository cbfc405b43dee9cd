"""The catalog agents: records of the log into the catalog's tables, with guarded delivery.

Not for predictions and feedback: the agent that joins them writes them into the catalog before it reads it.
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
BATCH_LIMITS = BatchLimits(1000, 0.5)


def register(app: App, settings: Settings) -> None:
    """Register an agent for each topic."""
    catalog = Catalog(settings.catalog_url)

    async def handle(batch: Sequence[ConsumedRecord]) -> Sequence[HandlerResult]:
        await asyncio.to_thread(catalog.project, batch)
        return [()] * len(batch)

    task_topics = [name(task) for task in settings.tasks for name in (topics.outcomes, topics.shadow_predictions)]
    for topic in (*task_topics, topics.LIFECYCLE, topics.DEAD_LETTERS):
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


def _reject(record: ConsumedRecord, failure: Failure) -> Sequence[Record]:
    """Log the record. A rebuild after a fix adds it from the log; a dead letter would only arrive here again."""
    log.error("the catalog lacks %s until `hindsight rebuild`: %s", record.origin.position, failure.reason)
    return ()
