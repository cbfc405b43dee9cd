"""What the pages are made on: the same parts that the API's routes use."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.catalog.catalog import Catalog
from app.dead_letters.async_store import Letterbox
from app.kafka.resilient_producer import Publisher
from app.replay.jobs.queue import Replays
from app.retraining.controller import Controller
from app.services.payloads import Payloads
from app.services.state_metrics import Watching
from app.settings import Settings
from models.base import Task


@dataclass(frozen=True)
class Parts:
    """Of one deployment."""

    settings: Settings
    tasks: Mapping[str, Task]
    catalog: Catalog
    publisher: Publisher
    controller: Controller
    payloads: Payloads
    replays: Replays
    letterbox: Letterbox
    watching: Watching
