"""The loop: what fires a run, who runs its steps, and how its candidate comes to serve. In each replica of the API.

All that it knows is in the log, and all that it does is an event there. A lease keeps replicas from doing the same work
at once; that nothing is in force twice, the registry sees to.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from app.catalog.catalog import Catalog
from app.errors import SetupError, Unavailable
from app.events.types import Role
from app.kafka import provisioning
from app.kafka.resilient_producer import Publisher
from app.kafka.transient_errors import AWAY
from app.monitoring.metrics import TRIGGER_FAILURES
from app.registry.changes import Changes
from app.registry.registry import Models, Registry
from app.registry.runs import Run
from app.registry.subscription import follow
from app.retraining.backends.backend import Crashed, leave
from app.retraining.backends.selection import backend_of
from app.retraining.lease import Leases
from app.retraining.pipeline.run_directory import SOURCE, end_of
from app.retraining.rollout import evidence, execution, policy
from app.retraining.rollout.policy import Observed
from app.retraining.triggers.trigger_service import Triggering
from app.settings import Settings
from app.settings.retraining import Retraining
from models.base import Task

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0


class Controller:
    """Watches every task, for as long as it runs."""

    def __init__(self, settings: Settings, tasks: Mapping[str, Task], catalog: Catalog, publisher: Publisher) -> None:
        self._settings = settings
        self._tasks = tasks
        self._catalog = catalog
        self._publisher = publisher
        for task in tasks:
            TRIGGER_FAILURES.labels(task)
        self._leases: Leases | None = None
        self._holder = f"{socket.gethostname()}/{os.getpid()}"
        self._held: dict[str, str] = {}
        """The runs whose lease this replica holds, by their task."""
        self._registry: Registry | None = None
        self.triggering = Triggering(settings, catalog, publisher)
        self.backend = backend_of(settings)
        self.decisions: dict[str, str] = {}
        """What was last decided of each run's rollout."""

    async def run(self) -> None:
        """Follow the log and look at every task, for ever."""
        # An API that is gone before its first look has connected to nothing: aiokafka leaks what it is connecting to.
        await asyncio.sleep(self._settings.retraining_seconds)
        await provisioning.wait_provisioned(self._settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._look())

    async def _follow(self) -> None:
        async for registry in follow(self._settings, self._tasks.values()):
            self._registry = registry

    async def _look(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._settings.retraining_seconds)
                for task in self._tasks.values():
                    await self._try(task)
        finally:
            await self.backend.close()

    async def _try(self, task: Task) -> None:
        if self._registry is None:
            return
        models = self._registry.tasks[task.name]
        for look in (self._leave, self._tick):
            try:
                await look(task, models)
                continue
            except AWAY as error:
                log.warning("the retraining of %s waits: %s", task.name, error)
            except SetupError as error:
                log.warning("the retraining of %s: %s", task.name, error)
            except Exception:  # a fault in a task's code, its score say, is that task's
                log.exception("the retraining of %s can't be looked at", task.name)
            TRIGGER_FAILURES.labels(task.name).inc()

    async def _leave(self, _: Task, models: Models) -> None:
        """Forget what is over."""
        for run_id in self.decisions.keys() & models.runs.keys():
            if models.runs[run_id].ended is not None:
                del self.decisions[run_id]
        await leave(self.backend, models.runs)

    async def _tick(self, task: Task, models: Models) -> None:
        run = models.run
        await self._release(task.name, run)
        if models.route.canary is not None and (run is None or run.step != "rollout"):
            await self._guard(task, models)
        await self.triggering.look(task, models)
        if run is None:
            return
        if not await self._holds(run):
            await self.backend.release(run.id)
        elif run.step == "rollout":
            await self._roll_out(task, models, run)
        else:
            await self._work(run)

    # A run's steps

    async def _holds(self, run: Run) -> bool:
        if self._leases is None:
            self._leases = await asyncio.to_thread(Leases, self._settings.database)
        held = await asyncio.to_thread(self._leases.acquire, run.task, self._holder, run.id, LEASE_SECONDS)
        if held:
            self._held[run.task] = run.id
        return held

    async def _release(self, task: str, run: Run | None) -> None:
        """Give back the lease of a run that is over: the next one need not wait until it runs out."""
        run_id = self._held.get(task)
        if run_id is not None and self._leases is not None and (run is None or run.id != run_id):
            await asyncio.to_thread(self._leases.release, task, self._holder, run_id)
            del self._held[task]

    async def _work(self, run: Run) -> None:
        minutes = self._plan(run.task).timeout_minutes
        if datetime.now(UTC) - run.time > timedelta(minutes=minutes):
            with suppress(*AWAY, SetupError):  # then it is stopped as what has failed
                await self.backend.stop(run.id)
            await self._end(run, "failed", f"{run.step}: it took more than {minutes:g} minutes; raise timeout_minutes")
            return
        try:
            await self.backend.tend(run)
        except Crashed as error:
            await self._end(run, "failed", f"{run.step}: {error}")

    async def _roll_out(self, task: Task, models: Models, run: Run) -> None:
        over = execution.ended(models, run)
        if over is not None:
            await self._end(run, *over)
            return
        changes = Changes(self._settings, task, self._publisher.publish, run.id)
        version, role, _ = execution.stage_of(models, run)
        if role is None:
            if models.frozen is None:
                await changes.shadow(version, "It passed the gate.", SOURCE)
            return
        observed = await self._observed(task, models, version, role, execution.since(models, version))
        decision = execution.decided(models, run, observed, self._plan(run.task))
        self.decisions[run.id] = decision.reason
        await execution.do(changes, models, run, decision)

    async def _guard(self, task: Task, models: Models) -> None:
        """Take back a canary that people have put there, if it is worse."""
        version = models.route.canary
        assert version is not None
        observed = await self._observed(task, models, version, "canary", execution.since(models, version))
        harm = policy.worse(observed, self._plan(task.name).rollout)
        if harm is not None:
            await Changes(self._settings, task, self._publisher.publish).roll_back(version, harm, SOURCE)

    async def _observed(self, task: Task, models: Models, version: str, role: Role, since: datetime) -> Observed:
        champion, now = models.route.champion, datetime.now(UTC)
        return await asyncio.to_thread(
            self._catalog.ask,
            lambda connection: evidence.observed(connection, task, (version, role), champion, since, now),
        )

    async def _end(self, run: Run, outcome: str, reason: str) -> None:
        await self._publisher.publish(end_of(run, outcome, reason))

    def _plan(self, task: str) -> Retraining:
        return self._settings.of_task(task).retraining

    @property
    def models(self) -> Mapping[str, Models]:
        """The models as far as the log was heard. Raises `Unavailable` before it was read to its end."""
        if self._registry is None:
            raise Unavailable("the registry is not read to its end yet")
        return self._registry.tasks
