"""The registry as `lifecycle` tells it: the versions of each task's model, its route, and its retraining runs.

A change says which one it follows. Of two that follow the same one the first in the log is in force and the other is
not, for every reader: nobody changes a route, or takes a version's number, over a change that he has not seen. Nor
does a run begin while another one of its task is under way.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.events import lifecycle
from app.events.base import EventData, ModelRef
from app.events.cloudevents import ConsumedRecord, Event, complete_event, header_text, split_version
from app.events.decoding import decode
from app.events.lifecycle import RetrainingTriggered, TaskFrozen
from app.events.model_events import ModelRegistered, RouteChanged
from app.registry.routes import Route
from app.registry.runs import Run
from app.registry.shipped import no_model_error, shipped_versions
from app.settings import Settings
from app.storage.blobs import BlobStore
from models.base import Rejected, Task

log = logging.getLogger(__name__)

_EVENT_TYPES = {split_version(kind.type)[0]: kind for kind in lifecycle.LIFECYCLE_TYPES}


@dataclass(frozen=True)
class ModelVersion:
    """One version of a task's model, for ever the same."""

    task: str
    number: str
    artifact: str
    """Where its ONNX file is: a blob's URI, or the path of a version that comes with the task's folder."""
    card: Mapping[str, Any]
    registration: ModelRegistered | None = None
    """What was said of it when it was registered; None of one that comes with the task's folder."""

    @property
    def ref(self) -> ModelRef:
        """Its name in events."""
        return ModelRef(name=self.task, version=self.number)

    def read_model(self, blobs: BlobStore, settings: Settings) -> bytes:
        """Its ONNX file. Raises OSError while a storage is away, `Rejected` for a blob that is not there."""
        if self.registration is None:
            return Path(self.artifact).read_bytes()
        return blobs.get(self.artifact, settings.max_blob_bytes)


@dataclass(frozen=True)
class RouteChange:
    """A change of the route that came into force."""

    id: str
    time: datetime
    event: RouteChanged

    @property
    def route(self) -> Route:
        """The route from then on."""
        return Route(self.event.champion, self.event.canary, self.event.canary_share, self.event.shadows)


@dataclass
class TaskModels:
    """The versions of one task and its route."""

    task: str
    shipped: Mapping[str, ModelVersion]
    registered: dict[str, ModelVersion] = field(default_factory=dict)
    changes: list[RouteChange] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    """The retraining runs by their id, in the order in which they began: one after the other."""
    last_change_id: str | None = None
    """What the next change has to say that it follows: the id of the last one."""
    frozen: TaskFrozen | None = None
    """Who paused retraining and promotion, and why; None where nobody did."""

    @property
    def versions(self) -> dict[str, ModelVersion]:
        """All versions by their number, the lowest first. What is in the log goes before what a folder has."""
        found = {**self.shipped, **self.registered}
        return dict(sorted(found.items(), key=lambda one: int(one[0])))

    @property
    def newest(self) -> ModelVersion:
        """The version with the highest number. Raises `SetupError`."""
        return list(_require_versions(self.task, self.versions).values())[-1]

    @property
    def route(self) -> Route:
        """The route in force: until one was said, the newest version that the folder has. Raises `SetupError`."""
        if not self.changes:
            return Route(list(_require_versions(self.task, self.shipped))[-1])
        return self.changes[-1].route

    @property
    def routed_versions(self) -> list[ModelVersion]:
        """The versions that the route needs. Raises `SetupError`."""
        versions = self.versions
        return [versions[number] for number in self.route.versions if number in versions]

    @property
    def champion_since(self) -> datetime:
        """When the champion became it; of one that always was, before all times."""
        for change in reversed(self.changes):
            if change.event.replaced is not None:
                return change.time
        return datetime(1970, 1, 1, tzinfo=UTC)

    @property
    def previous_champion(self) -> str | None:
        """The champion that a rollback goes back to: each goes back one further."""
        past: list[str] = []
        for change in self.changes:
            if change.event.replaced is not None:
                if change.event.action == "rollback":
                    past = past[:-1]
                else:
                    past.append(change.event.replaced)
        return past[-1] if past else None

    @property
    def active_run(self) -> Run | None:
        """The run that is under way."""
        last = list(self.runs.values())[-1:]
        return next((run for run in last if run.ended is None), None)

    def apply(self, said: EventData, event: Event) -> bool:
        """Take in an event of this task; whether it is in force."""
        time = datetime.fromisoformat(event.time)
        match said:
            case RouteChanged():
                if not self._apply_change(RouteChange(event.id, time, said)):
                    return False
            case ModelRegistered():
                number = said.model.version
                if number in self.registered:
                    return False
                self.registered[number] = ModelVersion(said.task, number, said.artifact, said.card, said)
            case RetrainingTriggered():
                if self.active_run is not None or self.frozen is not None or said.run_id in self.runs:
                    return False
                self.runs[said.run_id] = Run(said.run_id, said, time)
                return True
            case TaskFrozen():
                self.frozen = said if said.frozen else None
                return True
        run = self.runs.get(getattr(said, "run_id", None) or "")
        noted = run is not None and run.apply(said, time)
        return noted or isinstance(said, RouteChanged | ModelRegistered)

    def _apply_change(self, change: RouteChange) -> bool:
        """Take in a change of the route; whether it is in force. One to a version that there is not answers nobody."""
        if change.event.follows != self.last_change_id:
            return False
        self.last_change_id = change.id
        if missing := set(change.route.versions) - self.versions.keys():
            log.warning("%s: route %s is passed over: there is no version %s", self.task, change.id, missing)
            return False
        self.changes.append(change)
        return True

    def version(self, number: str) -> ModelVersion:
        """The version of this number. Raises `SetupError`."""
        versions = self.versions
        if number not in versions:
            raise SetupError(f"{self.task} has no version {number!r}.", f"Name one of {', '.join(versions)}.")
        return versions[number]


def _require_versions(task: str, versions: Mapping[str, ModelVersion]) -> Mapping[str, ModelVersion]:
    if not versions:
        raise no_model_error(task)
    return versions


class Registry:
    """All tasks' models, as far as the log was heard."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = {task.name: TaskModels(task.name, _shipped_versions(task)) for task in tasks}
        self.accepted_ids: set[str] = set()
        """The ids of the events that are in force."""

    def apply(self, record: ConsumedRecord) -> bool:
        """Take in a record of `lifecycle`, in the log's order; whether it changed anything."""
        kind = _EVENT_TYPES.get((header_text(record.headers, "ce_type") or "").rpartition(".v")[0])
        if kind is None:
            return False
        try:
            event = complete_event(record.headers, record.value or b"", record.origin, kind.type)
            said = decode(event.type, event.data)
        except (Rejected, ValueError) as error:
            log.warning("%s can't be read: %s", record.origin.position, error)
            return False
        models = self.tasks.get(getattr(said, "task", ""))
        if models is None or not models.apply(said, event):
            return False
        self.accepted_ids.add(event.id)
        return True


def _shipped_versions(task: Task) -> dict[str, ModelVersion]:
    return {
        number: ModelVersion(task.name, number, str(path), _read_card(path.with_name("card.json")))
        for number, path in shipped_versions(task).items()
    }


def _read_card(path: Path) -> Mapping[str, Any]:
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
