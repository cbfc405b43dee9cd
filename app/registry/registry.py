"""The registry, built from `lifecycle`: each task's versions, route and retraining runs.

Each change of a route names the change that it follows. If two name the same one, only the first in the log is in
force, for every reader: so nobody changes a route over a change that they have not seen. Likewise a version's number is
taken once, and a run starts only if no other run of its task is active.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import SetupError, Unavailable
from app.events import lifecycle
from app.events.base import EventData, ModelRef
from app.events.cloudevents import NEWER_VERSION, ConsumedRecord, Event, complete_event, header_text, split_version
from app.events.decoding import decode
from app.events.lifecycle import RetrainingTriggered, TaskFrozen
from app.events.model_events import ModelCardReplaced, ModelRegistered, RouteChanged
from app.registry.routes import Route
from app.registry.runs import Run
from app.registry.shipped import no_model_error, shipped_versions
from models.base import Rejected, Task

log = logging.getLogger(__name__)

_EVENT_TYPES = {split_version(kind.type)[0]: kind for kind in lifecycle.LIFECYCLE_TYPES}


@dataclass(frozen=True)
class ModelVersion:
    """One version of a task's model. Only its card can be replaced."""

    task: str
    number: str
    artifact: str
    """The location of the ONNX file or of the manifest: a blob's URI, or the path of a shipped version."""
    card: Mapping[str, Any]
    registration: ModelRegistered | None = None
    """The event that registered it; None of a shipped version."""
    registered_at: datetime | None = None
    """The time of that event."""

    @property
    def preprocess_version(self) -> str | None:
        """The version of preprocessing whose features it reads; None of a shipped version, which reads its task's."""
        return self.registration.preprocess_version if self.registration is not None else None

    def reads_features_of(self, task: Task) -> bool:
        """Return whether it reads what this class of its task makes."""
        return self.preprocess_version in (None, task.preprocess_version)

    @property
    def ref(self) -> ModelRef:
        """The reference to the version in events."""
        return ModelRef(name=self.task, version=self.number)


@dataclass(frozen=True)
class RouteChange:
    """A change of the route that is or was in force."""

    id: str
    time: datetime
    event: RouteChanged

    @property
    def route(self) -> Route:
        """The route after the change."""
        return Route(self.event.champion, self.event.canary, self.event.canary_share, self.event.shadows)


@dataclass
class TaskModels:
    """The versions, the route and the runs of one task."""

    task: str
    shipped: Mapping[str, ModelVersion]
    registered: dict[str, ModelVersion] = field(default_factory=dict)
    changes: list[RouteChange] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    """The retraining runs by id, in the order of their starts: one after the other."""
    last_change_id: str | None = None
    """The id of the last change, which the next change must name."""
    frozen: TaskFrozen | None = None
    """The event that paused retraining and promotion; None if they are not paused."""

    @property
    def versions(self) -> dict[str, ModelVersion]:
        """All versions by number, the lowest first. A registered version hides a shipped version of the same number."""
        versions = {**self.shipped, **self.registered}
        return dict(sorted(versions.items(), key=lambda item: int(item[0])))

    @property
    def newest(self) -> ModelVersion:
        """The version with the highest number. Raises `SetupError`."""
        return list(_require_versions(self.task, self.versions).values())[-1]

    @property
    def route(self) -> Route:
        """The route in force; without any change, the newest shipped version. Raises `SetupError`."""
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
        """When the champion was promoted; 1970 if it was always the champion."""
        for change in reversed(self.changes):
            if change.event.replaced is not None:
                return change.time
        return datetime(1970, 1, 1, tzinfo=UTC)

    @property
    def previous_champion(self) -> str | None:
        """The champion that a rollback restores. Each further rollback goes one step further back."""
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
        """The run that has not ended."""
        last = list(self.runs.values())[-1:]
        return next((run for run in last if run.ended is None), None)

    def apply(self, data: EventData, event: Event) -> bool:
        """Apply an event of this task; return whether it is in force."""
        time = datetime.fromisoformat(event.time)
        match data:
            case RouteChanged():
                if not self._apply_change(RouteChange(event.id, time, data)):
                    return False
            case ModelRegistered():
                number = data.model.version
                if number in self.registered:
                    return False
                self.registered[number] = ModelVersion(data.task, number, data.artifact, data.card, data, time)
            case ModelCardReplaced():
                return self._replace_card(data)
            case RetrainingTriggered():
                if self.active_run is not None or self.frozen is not None or data.run_id in self.runs:
                    return False
                self.runs[data.run_id] = Run(data.run_id, data, time)
            case TaskFrozen():
                self.frozen = data if data.frozen else None
        run = self.runs.get(getattr(data, "run_id", None) or "")
        applied = run is not None and run.apply(data, time)
        return applied or isinstance(data, RouteChanged | ModelRegistered | RetrainingTriggered | TaskFrozen)

    def _replace_card(self, data: ModelCardReplaced) -> bool:
        version = self.registered.get(data.model.version)
        if version is not None:
            self.registered[version.number] = replace(version, card=data.card)
        return version is not None

    def _apply_change(self, change: RouteChange) -> bool:
        """Apply a change of the route; return whether it is in force. A change to an unknown version is not."""
        if change.event.follows != self.last_change_id:
            return False
        self.last_change_id = change.id
        if missing := set(change.route.versions) - self.versions.keys():
            log.warning("%s: route %s is ignored: there is no version %s", self.task, change.id, missing)
            return False
        self.changes.append(change)
        return True

    def version(self, number: str) -> ModelVersion:
        """Return the version of this number. Raises `SetupError`."""
        versions = self.versions
        if number not in versions:
            raise SetupError(f"{self.task} has no version {number!r}.", f"Name one of {', '.join(versions)}.")
        return versions[number]


def _require_versions(task: str, versions: Mapping[str, ModelVersion]) -> Mapping[str, ModelVersion]:
    if not versions:
        raise no_model_error(task)
    return versions


class Registry:
    """The models of all tasks, as far as the log was read."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = {task.name: TaskModels(task.name, _shipped_versions(task)) for task in tasks}
        self.accepted_ids: set[str] = set()
        """The ids of the events that are in force."""

    def apply(self, record: ConsumedRecord) -> bool:
        """Apply a record of `lifecycle`, in the log's order; return whether it changed anything.

        Raises `Unavailable` for an event that a newer release wrote: without it the later ones would mean something
        else.
        """
        kind = _EVENT_TYPES.get((header_text(record.headers, "ce_type") or "").rpartition(".v")[0])
        if kind is None:
            return False
        try:
            event = complete_event(record.headers, record.value or b"", record.origin, kind.type)
            data = decode(event.type, event.data)
        except (Rejected, ValueError) as error:
            if isinstance(error, Rejected) and error.code == NEWER_VERSION:
                raise Unavailable(f"{record.origin.position}: {error}") from error
            log.warning("%s can't be read: %s", record.origin.position, error)
            return False
        models = self.tasks.get(getattr(data, "task", ""))
        if models is None or not models.apply(data, event):
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
        card = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}
