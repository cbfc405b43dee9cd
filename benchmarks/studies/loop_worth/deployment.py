"""The platform of one task in this process, on a simulated clock.

Its parts are the project's own: the outcomes, the catalog (SQLite), the registry, the observer and the conditions of
the triggers, the steps of a run with its gate, the evidence and the decisions of a rollout. What is simulated stands in
for Kafka, MLServer and the controller: an event is in force at once, a run takes no time, and all answers take equally
long.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.events import topics
from app.events.base import EventData
from app.events.cloudevents import Record
from app.events.lifecycle import RetrainingEnded, RetrainingTriggered
from app.events.types import Role
from app.registry.artifacts import fetch_model
from app.registry.changes import Decide, RegistryWriter
from app.registry.registration import Provenance, register
from app.registry.registry import Registry, TaskModels
from app.registry.runs import Candidate, Run
from app.retraining.pipeline.steps import STEPS, RunContext
from app.retraining.rollout import execution
from app.retraining.rollout.elimination import losing_versions
from app.retraining.rollout.evidence import gather_rollout_evidence, gather_shadow_scores
from app.retraining.run_events import SOURCE
from app.retraining.triggers.catalog_observer import Observer
from app.retraining.triggers.evaluate import evaluate
from app.retraining.triggers.observation import TaskTriggerState, WindowCache
from app.settings import Settings
from app.storage.blob_store import blob_store
from benchmarks.studies.loop_worth.log import Log, predict, request_key
from benchmarks.studies.loop_worth.streams import START, Request, StreamedTask
from models.base import Untrainable


class Deployment:
    """A task that serves, and learns."""

    def __init__(self, streamed: StreamedTask, settings: Settings, seed: int) -> None:
        self.task = streamed.task()
        self.settings = settings
        self.now = START
        self.log = Log(streamed, settings, seed)
        self._streamed, self._seed = streamed, seed
        self._plan = settings.for_task(self.task.name).retraining
        self._registry = Registry([self.task])
        self._event_ids = count()
        self._triggers = TaskTriggerState()
        self._cache: WindowCache = {}

    @property
    def models(self) -> TaskModels:
        """The versions, the route and the runs."""
        return self._registry.tasks[self.task.name]

    def publish(self, data: EventData) -> None:
        """Publish an event of the registry."""
        id, time = str(next(self._event_ids)), self.now.isoformat()
        record = data.to_record(topics.LIFECYCLE, b"", id=id, source=SOURCE, time=time)
        assert self._registry.apply(self.log.consume(record, self.now))

    def serve(self, requests: Sequence[Request]) -> list[float]:
        """Answer requests as the route says, with people's feedback; return the value of each answer."""
        route, parts = self.models.route, defaultdict[tuple[str, Role], list[Request]](list)
        for request in requests:
            parts[route.assign(self.task.name, request_key(request))].append(request)
            for version in route.shadows:
                parts[version, "shadow"].append(request)
        values = dict[int, float]()
        for (version, role), part in parts.items():
            path = fetch_model(self.settings, self.models, version)
            decoded = predict(self.task, path, [request.asked for request in part])
            self.log.add(version, role, zip(part, decoded, strict=True))
            if role != "shadow":
                values |= {
                    request.number: self._streamed.value(self.task, request.sample, answer.output)
                    for request, answer in zip(part, decoded, strict=True)
                }
        return [values[request.number] for request in requests]

    def look(self) -> None:
        """Do what the controller does: evaluate the triggers, run the steps of a run, decide on its rollout."""
        observer = Observer(self.task, self.models, self._plan, self._cache)
        seen = self.log.catalog.query(lambda connection: observer.observe(connection, self.now))
        self._triggers, firings = evaluate(self._triggers, seen, self.now, self._plan.triggers)
        for firing in firings:
            self._start_run(firing.trigger, firing.evidence)
        run = self.models.active_run
        if run is not None:
            self._run_steps(run)
            if run.step == "rollout":
                self._roll_out(run)

    def promote_new(self) -> None:
        """Train a version on everything, and make it the champion without a gate."""
        work = self._context(self._start_run("schedule", {}))
        try:
            version = work.register(work.run.lead)
            if version != self.models.route.champion:
                asyncio.run(SimulatedWriter(self, work.run.id).promote(version, "It is new.", SOURCE))
            work.end("promoted", "It is new.")
        except (SetupError, Untrainable) as error:
            work.end("failed", str(error))

    def _start_run(self, trigger: str, evidence: dict[str, Any]) -> Run:
        run_id, champion = f"{self._seed}-{len(self.models.runs)}", self.models.route.champion
        fields = {"task": self.task.name, "run_id": run_id, "trigger": trigger, "evidence": evidence}
        more = {"champion": champion, "candidates": self._plan.candidates}
        self.publish(RetrainingTriggered.model_validate(fields | more))
        return self.models.runs[run_id]

    def _context(self, run: Run) -> "SimulatedRun":
        return SimulatedRun(self.settings, self.task, run, self.models, lambda *_: None, self)

    def _run_steps(self, run: Run) -> None:
        work = self._context(run)
        while (step := run.step) in STEPS:
            if run.refusal is not None:
                work.end("refused", run.refusal)
                return
            try:
                if step != "register":
                    STEPS[step](work)
                    continue
                for candidate in run.passed:
                    version = work.register(candidate)
                    if candidate.registered is None and run.ended is None:
                        work.end("refused", f"The candidate is version {version}, which is registered already.")
            except (SetupError, Untrainable) as error:
                work.end("failed", f"{step}: {error}")

    def _roll_out(self, run: Run) -> None:
        if (outcome := execution.rollout_outcome(self.models, run)) is not None:
            self._context(run).end(*outcome)
            return
        changes, champion = SimulatedWriter(self, run.id), self.models.route.champion
        contenders = execution.contenders(self.models, run)
        if waiting := [version for version in contenders if self.models.route.role(version) is None]:
            for version in waiting:
                asyncio.run(changes.shadow(version, "It passed the gate.", SOURCE))
            return
        if len(contenders) > 1:
            for version, reason in self._losing_versions(run, contenders).items():
                asyncio.run(changes.roll_back(version, reason, SOURCE))
            return
        version, role, _ = execution.candidate_stage(self.models, run)
        assert role is not None
        since, arm = execution.stage_started(self.models, version), (version, role)
        observed = self.log.catalog.query(
            lambda connection: gather_rollout_evidence(
                connection, self.task, arm, champion, since, self.now, self._plan.rollout
            )
        )
        decision = execution.decide_step(self.models, run, observed, self._plan)
        asyncio.run(execution.apply_decision(changes, self.models, run, decision))

    def _losing_versions(self, run: Run, contenders: tuple[str, ...]) -> dict[str, str]:
        since, champion = execution.shadows_started(self.models, contenders), self.models.route.champion
        observed = self.log.catalog.query(
            lambda connection: gather_shadow_scores(connection, self.task, contenders, champion, since, self.now)
        )
        return losing_versions(observed, self._plan.rollout, len(run.versions))


class SimulatedWriter(RegistryWriter):
    """Changes the models of a deployment, on behalf of a run."""

    def __init__(self, deployment: Deployment, run_id: str) -> None:
        super().__init__(deployment.settings, deployment.task, _refuse_record, run_id)
        self._deployment = deployment

    async def commit(self, decide: Decide) -> TaskModels:
        """Publish a decision, which is in force at once."""
        if (data := decide(self._deployment.models)) is not None:
            self._deployment.publish(data)
        return self._deployment.models


async def _refuse_record(record: Record) -> None:
    raise AssertionError("there is no broker")


@dataclass(frozen=True)
class SimulatedRun(RunContext):
    """A run of a deployment."""

    deployment: Deployment

    def ensure_dataset(self) -> Path:
        """Return the run's dataset: the log as of now."""
        path, days = self.directory / "dataset", self.retraining_settings.dataset_days
        if not path.exists():
            since = None if days is None else self.run.time - timedelta(days=days)
            built = self.deployment.log.write_dataset(path, since)
            self.deployment.publish(built.model_copy(update={"run_id": self.run.id}))
        return path

    def publish(self, step: str, data: EventData) -> None:
        """Publish the result of a step."""
        self.deployment.publish(data)

    def end(self, outcome: str, reason: str) -> None:
        """Publish the end of the run."""
        fields = {"task": self.task.name, "run_id": self.run.id, "outcome": outcome, "reason": reason}
        self.deployment.publish(RetrainingEnded.model_validate(fields))

    def register(self, candidate: Candidate) -> str:
        """Register a candidate, without a trial in a process of its own; return its number."""
        path = self.ensure_candidate(candidate)
        card = json.loads(path.with_name("card.json").read_bytes())
        provenance = Provenance(SOURCE, self.run.triggered.champion, run_id=self.run.id, candidate=candidate.id)
        writer, blobs = SimulatedWriter(self.deployment, self.run.id), blob_store(self.settings)
        version = asyncio.run(register(self.settings, self.task, writer, blobs, path, card, provenance))
        return version.number
