"""The outcome agents: `<task>.joins` in, `<task>.outcomes` out; and a timer for rewards that never arrive."""

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

# A batch is two transactions, which cost more than the rows of half a second at 50 requests/s.
BATCH_LIMITS = BatchLimits(500, 0.5)
TIMEOUT_CHECK_SECONDS = 5.0

log = logging.getLogger(__name__)


def register(app: App, settings: Settings, tasks: Mapping[str, Task]) -> None:
    """Register an agent for each task, and the timer."""
    catalog, last_outcomes = Catalog(settings.catalog_url), LastOutcomes(app)
    for task in tasks.values():
        recorder = OutcomeRecorder(task, settings.for_task(task.name), catalog, last_outcomes)
        register_agent(
            app,
            settings,
            name=f"outcomes-{task.name}",
            topic=topics.joins(task.name),
            stage=STAGE,
            handle=recorder,
            reject=Repartitioner(task).reject,
            limits=BATCH_LIMITS,
            on_delivered=recorder.on_delivered,
        )
    timeouts, publish = RewardTimeouts(settings, catalog), create_publisher(app)

    async def publish_timeouts() -> None:
        for task in timeouts.tasks:
            if TP(topics.joins(task), 0) not in app.consumer.assignment():  # another worker publishes them
                continue
            try:
                errors = await publish(await asyncio.to_thread(timeouts.due, task))
            except Unavailable as error:
                errors = [error]
            if failed := [error for error in errors if error is not None]:
                log.warning("reward timeouts of %s, retrying in %g s: %s", task, TIMEOUT_CHECK_SECONDS, failed[0])

    if timeouts.tasks:
        app.timer(TIMEOUT_CHECK_SECONDS)(publish_timeouts)
