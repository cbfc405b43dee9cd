"""Loads versions into MLServer when a route needs them, and unloads them when no route does."""

import asyncio
import logging
from collections.abc import Iterable
from functools import partial

from app.backoff import retry
from app.errors import Unavailable
from app.events.base import ModelRef
from app.inference.mlserver import repository, warm_up
from app.inference.mlserver.client import InferenceClient
from app.registry.registry import ModelVersion
from app.registry.subscription import subscribe
from app.registry.version_files import fetch_version
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Rejected, Task

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
"""Interval at which MLServer is asked whether it still serves a loaded version."""
GRACE_SECONDS = 5.0
"""How long a version stays loaded that no route needs: workers may not have the new route yet."""


class ModelLoader:
    """Keeps the versions in MLServer that the routes need."""

    def __init__(self, settings: Settings, tasks: Iterable[Task], client: InferenceClient) -> None:
        self._settings = settings
        self._tasks = {task.name: task for task in tasks}
        self._client = client
        self._blobs = blob_store(settings)
        self._needed: dict[ModelRef, ModelVersion] = {}
        self._loads: dict[ModelRef, asyncio.Task[None]] = {}
        self._loaded: set[ModelRef] = set()
        self._warm_up_batches: dict[str, list[warm_up.Batch]] = {}
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Load and unload versions as routes change, for ever."""
        async with asyncio.TaskGroup() as group:
            async for registry in subscribe(self._settings, self._tasks.values()):
                self._needed = {
                    version.ref: version for models in registry.tasks.values() for version in models.routed_versions
                }
                for model in self._needed.keys() - self._loads.keys():
                    self._loads[model] = group.create_task(self._keep_loaded(self._needed[model]))
                for model in self._loads.keys() - self._needed.keys():
                    group.create_task(self._unload(model))

    async def _keep_loaded(self, version: ModelVersion) -> None:
        """Load a version, and load it again whenever MLServer no longer serves it."""
        while True:
            await self._load(version)
            self._loaded.add(version.ref)
            while await self._client.serves(version.ref):
                await asyncio.sleep(POLL_SECONDS)
            log.warning("%s is no longer served: loading it again", repository.entry_name(version.ref))

    async def _load(self, version: ModelVersion) -> None:
        async def load() -> None:
            _check_features(version, self._tasks[version.task])
            async with self._lock:
                await asyncio.to_thread(self._install, version)
                await self._client.load(version.ref)

        name = repository.entry_name(version.ref)
        await retry(load, (OSError, Rejected, Unavailable), log, f"{name} cannot be loaded")
        log.info("%s is loaded", name)

    def _install(self, version: ModelVersion) -> None:
        task = self._tasks[version.task]
        if task.name not in self._warm_up_batches:
            self._warm_up_batches[task.name] = warm_up.make_batches(task)
        fetch = partial(fetch_version, version, self._blobs, self._settings)
        repository.install(self._settings, version.ref, fetch, self._warm_up_batches[task.name])

    async def _unload(self, model: ModelRef) -> None:
        """Unload a version unless it is needed again. It keeps serving until all needed versions are loaded."""
        while True:
            await asyncio.sleep(GRACE_SECONDS)
            if model in self._needed or model not in self._loads:
                return
            if self._loaded.issuperset(needed for needed in self._needed if needed.name == model.name):
                break
        self._loads.pop(model).cancel()
        self._loaded.discard(model)
        async with self._lock:
            if model in self._needed:  # its new load waits for the lock
                return
            repository.remove(self._settings, model)
            try:
                await self._client.unload(model)
                log.info("%s is unloaded", repository.entry_name(model))
            except Unavailable as error:
                log.warning("%s can't be unloaded: %s", repository.entry_name(model), error)


def _check_features(version: ModelVersion, task: Task) -> None:
    """Raise `Rejected` for a version of other features than the task's: it would answer nonsense. Requests wait."""
    if not version.reads_features_of(task):
        raise Rejected(
            "other_preprocess_version",
            f"it reads features of preprocess version {version.preprocess_version}, and this release of {task.name} "
            f"makes those of {task.preprocess_version}: promote a version of these, such as a shipped one, or name the "
            "task's former class in HINDSIGHT_TASKS",
        )
