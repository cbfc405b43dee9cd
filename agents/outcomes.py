"""The outcome agents: `<task>.joins` in, `<task>.outcomes` out; and the reminders of rewards that never came."""

import asyncio
import logging
from collections.abc import Mapping

from faust.types import TP

from app.catalog.catalog import Catalog
from app.errors import Unavailable
from app.events import topics
from app.outcomes.recorder import STAGE, OutcomeRecorder, RewardTimeouts
from app.outcomes.repartition import Repartitioner
from app.settings import Settings
from app.streams.batching import BatchLimits
from app.streams.faust_app import App, create_publisher, register_agent
from models.base import Task
from tables.outcomes import LastOutcomes

BATCH_LIMITS = BatchLimits(500, 0.1)
TIMEOUT_CHECK_SECONDS = 5.0

log = logging.getLogger(__name__)


def register(app: App, settings: Settings, tasks: Mapping[str, Task]) -> None:
    """One agent for each task, and one timer."""
    catalog, last = Catalog(settings.catalog_url), LastOutcomes(app)
    for task in tasks.values():
        handler = OutcomeRecorder(task, settings.for_task(task.name), catalog, last)
        register_agent(
            app,
            settings,
            name=f"outcomes-{task.name}",
            topic=topics.joins(task.name),
            stage=STAGE,
            handle=handler,
            reject=Repartitioner(task).reject,
            limits=BATCH_LIMITS,
            on_delivered=handler.on_delivered,
        )
    reminders, publish = RewardTimeouts(settings, catalog), create_publisher(app)

    async def remind() -> None:
        for task in reminders.tasks:
            if TP(topics.joins(task), 0) not in app.consumer.assignment():  # another worker does
                continue
            try:
                errors = await publish(await asyncio.to_thread(reminders.due, task))
            except Unavailable as error:
                errors = [error]
            if failed := [error for error in errors if error is not None]:
                log.warning("rewards of %s that never came wait %g s: %s", task, TIMEOUT_CHECK_SECONDS, failed[0])

    if reminders.tasks:
        app.timer(TIMEOUT_CHECK_SECONDS)(remind)
