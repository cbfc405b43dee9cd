"""The control loop of retraining in each replica of the API: start runs, have their steps run, roll candidates out.

Its state is in the log, and all its actions are events there. A lease keeps replicas from doing the same work at the
same time. The registry ensures that no action takes effect twice.
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
from app.kafka.resilient_producer import ResilientProducer
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.monitoring.metrics import TRIGGER_FAILURES
from app.monitoring.progress import ProgressMonitor
from app.registry.changes import RegistryWriter
from app.registry.registry import Registry, TaskModels
from app.registry.runs import Run
from app.registry.subscription import subscribe
from app.retraining.backends.backend import RunCrashed, clean_up
from app.retraining.backends.factory import create_backend
from app.retraining.lease import Leases
from app.retraining.rollout import evidence, execution, policy
from app.retraining.rollout.comparison import RolloutEvidence
from app.retraining.rollout.elimination import losing_versions
from app.retraining.run_events import SOURCE, end_event
from app.retraining.triggers.trigger_service import TriggerService
from app.settings import Settings
from app.settings.retraining import RetrainingSettings
from models.base import Task

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0


class Controller:
    """Reconciles the retraining of every task."""

    def __init__(
        self,
        settings: Settings,
        tasks: Mapping[str, Task],
        catalog: Catalog,
        publisher: ResilientProducer,
        progress: ProgressMonitor,
    ) -> None:
        self._settings = settings
        self._tasks = tasks
        self._catalog = catalog
        self._publisher = publisher
        for task in tasks:
            TRIGGER_FAILURES.labels(task)
        self._leases: Leases | None = None
        self._holder = f"{socket.gethostname()}/{os.getpid()}"
        self._leased_runs: dict[str, str] = {}
        """The runs whose lease this replica has, by task."""
        self._registry: Registry | None = None
        self.trigger_service = TriggerService(settings, catalog, publisher, progress)
        self.backend = create_backend(settings)
        self._looks: dict[str, datetime] = {}
        """The time of the last look at each task's rollout."""
        self.decisions: dict[str, str] = {}
        """The reason of the last decision on each run's rollout."""

    async def run(self) -> None:
        """Follow the log and reconcile every task, forever."""
        await provisioning.wait_provisioned(self._settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_registry())
            group.create_task(self._reconcile_forever())

    async def _follow_registry(self) -> None:
        async for registry in subscribe(self._settings, self._tasks.values()):
            self._registry = registry

    async def _reconcile_forever(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._settings.retraining_seconds)
                for task in self._tasks.values():
                    await self._reconcile_safely(task)
        finally:
            await self.backend.close()

    async def _reconcile_safely(self, task: Task) -> None:
        if self._registry is None:
            return
        models = self._registry.tasks[task.name]
        for action in (self._clean_up, self._reconcile):
            try:
                await action(task, models)
                continue
            except TRANSIENT_ERRORS as error:
                log.warning("the retraining of %s waits: %s", task.name, error)
            except SetupError as error:
                log.warning("the retraining of %s: %s", task.name, error)
            except Exception:  # a fault in a task's code, such as its score, must not stop other tasks
                log.exception("the retraining of %s failed", task.name)
            TRIGGER_FAILURES.labels(task.name).inc()

    async def _clean_up(self, _: Task, models: TaskModels) -> None:
        """Forget runs that have ended."""
        for run_id in self.decisions.keys() & models.runs.keys():
            if models.runs[run_id].ended is not None:
                del self.decisions[run_id]
        await clean_up(self.backend, models.runs)

    async def _reconcile(self, task: Task, models: TaskModels) -> None:
        run = models.active_run
        await self._release_lease(task.name, run)
        if models.route.canary is not None and (run is None or run.step != "rollout"):
            await self._guard_canary(task, models)
        await self.trigger_service.evaluate(task, models)
        if run is None:
            return
        if not await self._acquire_lease(run):
            await self.backend.detach(run.id)
        elif run.step == "rollout":
            await self._roll_out(task, models, run)
        else:
            await self._run_steps(run)

    # A run's steps

    async def _acquire_lease(self, run: Run) -> bool:
        if self._leases is None:
            self._leases = await asyncio.to_thread(Leases, self._settings.catalog_url)
        acquired = await asyncio.to_thread(self._leases.acquire, run.task, self._holder, run.id, LEASE_SECONDS)
        if acquired:
            self._leased_runs[run.task] = run.id
        return acquired

    async def _release_lease(self, task: str, run: Run | None) -> None:
        """Give back the lease of a run that has ended, so that the next run need not wait for its expiry."""
        run_id = self._leased_runs.get(task)
        if run_id is not None and self._leases is not None and (run is None or run.id != run_id):
            await asyncio.to_thread(self._leases.release, task, self._holder, run_id)
            del self._leased_runs[task]

    async def _run_steps(self, run: Run) -> None:
        minutes = self._retraining_settings(run.task).timeout_minutes
        if datetime.now(UTC) - run.time > timedelta(minutes=minutes):
            with suppress(*TRANSIENT_ERRORS, SetupError):  # then `_clean_up` stops it, as a failed run
                await self.backend.stop(run.id)
            await self._end_run(
                run, "failed", f"{run.step}: it took more than {minutes:g} minutes; raise timeout_minutes"
            )
            return
        try:
            await self.backend.ensure_running(run)
        except RunCrashed as error:
            await self._end_run(run, "failed", f"{run.step}: {error}")

    async def _roll_out(self, task: Task, models: TaskModels, run: Run) -> None:
        outcome = execution.rollout_outcome(models, run)
        if outcome is not None:
            await self._end_run(run, *outcome)
            return
        changes = RegistryWriter(self._settings, task, self._publisher.publish, run.id)
        contenders = execution.contenders(models, run)
        if waiting := [version for version in contenders if models.route.role(version) is None]:
            for version in waiting if models.frozen is None else ():
                await changes.shadow(version, "It passed the gate.", SOURCE)
            return
        if len(contenders) > 1:
            for version, reason in (await self._losing_versions(task, models, run, contenders)).items():
                await changes.roll_back(version, reason, SOURCE)
            return
        version, role, _ = execution.candidate_stage(models, run)
        assert role is not None
        observed = await self._gather_evidence(task, models, version, role)
        if observed is None:
            return
        decision = execution.decide_step(models, run, observed, self._retraining_settings(run.task))
        self.decisions[run.id] = decision.reason
        await execution.apply_decision(changes, models, run, decision)

    async def _losing_versions(
        self, task: Task, models: TaskModels, run: Run, contenders: tuple[str, ...]
    ) -> dict[str, str]:
        """Return those of a run's shadows that lose against the others, each with the reason."""
        if models.route.canary in contenders:
            reason = f"Version {models.route.canary} of the same run is the canary."
            return {version: reason for version in contenders if version != models.route.canary}
        since, now = execution.shadows_started(models, contenders), datetime.now(UTC)
        if not evidence.is_due(self._looks.get(task.name), since, now):
            return {}
        self._looks[task.name] = now
        self.decisions[run.id] = f"Versions {', '.join(contenders)} are compared as shadows."
        champion, plan = models.route.champion, self._retraining_settings(task.name).rollout
        observed = await asyncio.to_thread(
            self._catalog.query,
            lambda connection: evidence.gather_shadow_scores(connection, task, contenders, champion, since, now),
        )
        return await asyncio.to_thread(losing_versions, observed, plan, len(run.versions))

    async def _guard_canary(self, task: Task, models: TaskModels) -> None:
        """Roll back a canary that was started by hand, if it is worse."""
        version = models.route.canary
        assert version is not None
        observed = await self._gather_evidence(task, models, version, "canary")
        if observed is None:
            return
        harm = policy.harm_reason(observed, self._retraining_settings(task.name).rollout)
        if harm is not None:
            await RegistryWriter(self._settings, task, self._publisher.publish).roll_back(version, harm, SOURCE)

    async def _gather_evidence(
        self, task: Task, models: TaskModels, version: str, role: Role
    ) -> RolloutEvidence | None:
        """Return the evidence of the current step; None if it is too early for another look."""
        since, now = execution.stage_started(models, version), datetime.now(UTC)
        if not evidence.is_due(self._looks.get(task.name), since, now):
            return None
        self._looks[task.name] = now
        champion, plan = models.route.champion, self._retraining_settings(task.name).rollout
        return await asyncio.to_thread(
            self._catalog.query,
            lambda connection: evidence.gather_rollout_evidence(
                connection, task, (version, role), champion, since, now, plan
            ),
        )

    async def _end_run(self, run: Run, outcome: str, reason: str) -> None:
        await self._publisher.publish(end_event(run, outcome, reason))

    def _retraining_settings(self, task: str) -> RetrainingSettings:
        return self._settings.for_task(task).retraining

    @property
    def models(self) -> Mapping[str, TaskModels]:
        """The models as far as the log was read. Raises `Unavailable` before it was read to its end."""
        if self._registry is None:
            raise Unavailable("the registry is not read to its end yet")
        return self._registry.tasks
