"""The outcome agents: `<task>.joins` in, `<task>.outcomes` out; and the reminders of rewards that never came."""

import asyncio
import logging
from collections.abc import Mapping

from faust.types import TP

from app.catalog.catalog import Catalog
from app.errors import Unavailable
from app.events import topics
from app.outcomes.recorder import STAGE, OutcomesHandler, Reminders
from app.outcomes.repartition import Joins
from app.settings import Settings
from app.streams.batching import Bounds
from app.streams.faust_app import App, agent, publisher
from models.base import Task
from tables.outcomes import LastOutcomes

BOUNDS = Bounds(500, 0.1)
REMIND_SECONDS = 5.0

log = logging.getLogger(__name__)


def register(app: App, settings: Settings, tasks: Mapping[str, Task]) -> None:
    """One agent for each task, and one timer."""
    catalog, last = Catalog(settings.database), LastOutcomes(app)
    for task in tasks.values():
        handler = OutcomesHandler(task, settings.of_task(task.name), catalog, last)
        agent(
            app,
            settings,
            name=f"outcomes-{task.name}",
            topic=topics.joins(task.name),
            stage=STAGE,
            handle=handler,
            reject=Joins(task).reject,
            bounds=BOUNDS,
            delivered=handler.delivered,
        )
    reminders, publish = Reminders(settings, catalog), publisher(app)

    async def remind() -> None:
        for task in reminders.tasks:
            if TP(topics.joins(task), 0) not in app.consumer.assignment():  # another worker does
                continue
            try:
                errors = await publish(await asyncio.to_thread(reminders.due, task))
            except Unavailable as error:
                errors = [error]
            if failed := [error for error in errors if error is not None]:
                log.warning("rewards of %s that never came wait %g s: %s", task, REMIND_SECONDS, failed[0])

    if reminders.tasks:
        app.timer(REMIND_SECONDS)(remind)
