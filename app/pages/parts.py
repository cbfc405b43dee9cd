"""What the pages are made on: the same parts that the API's routes use."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.api.payload import Payloads
from app.api.publisher import Publisher
from app.catalog.store import Catalog
from app.eventlog.letterbox import Letterbox
from app.monitoring.watching import Watching
from app.replays.jobs import Replays
from app.retraining.controller import Controller
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
