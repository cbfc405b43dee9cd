"""The services that the API's routes and the pages share."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.catalog.catalog import Catalog
from app.dead_letters.async_store import AsyncDeadLetterStore
from app.kafka.resilient_producer import ResilientProducer
from app.replay.jobs.queue import ReplayQueue
from app.retraining.controller import Controller
from app.services.page_previews import PagePreviews
from app.services.payloads import PayloadReader
from app.services.state_metrics import StateMetrics
from app.settings import Settings
from models.base import Task


@dataclass(frozen=True)
class Services:
    """The services of a deployment."""

    settings: Settings
    tasks: Mapping[str, Task]
    catalog: Catalog
    producer: ResilientProducer
    controller: Controller
    payloads: PayloadReader
    page_previews: PagePreviews
    replays: ReplayQueue
    dead_letters: AsyncDeadLetterStore
    state_metrics: StateMetrics
