"""The steps of a retraining run, from the log to a registered candidate, for every backend.

Each step ends with an event and reuses the files of an earlier attempt, so that a killed run continues where it was.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.evaluation import backtest as backtesting
from app.evaluation.trial_process import check_model
from app.events.base import EventData, ModelRef
from app.events.comparison import ModelCompared
from app.events.model_events import ModelBacktested, ModelEvaluated, ModelTrained
from app.kafka.producers import publish_all
from app.registry.artifacts import fetch_model
from app.registry.cards import DRIFT_REFERENCE
from app.registry.changes import RegistryWriter
from app.registry.registration import Provenance, register
from app.registry.registry import TaskModels
from app.registry.runs import Candidate, Run
from app.registry.subscription import read_registry
from app.replay.query import ReplayQuery
from app.replay.replay import replay
from app.retraining.pipeline.code_version import code_version
from app.retraining.pipeline.drift_reference import build_reference
from app.retraining.pipeline.gate import GateVerdict, evaluate_gate
from app.retraining.pipeline.gate_evidence import VersionPair, gather_gate_evidence, missing_evidence
from app.retraining.pipeline.run_comparison import compare_by_evidence
from app.retraining.pipeline.run_directory import run_directory
from app.retraining.run_events import SOURCE, end_event, step_event
from app.settings import Settings
from app.settings.retraining import RetrainingSettings
from app.storage.blob_store import blob_store
from models.base import OnStep, Task
from models.datasets import content_hash
from models.manifest import find_version, write_atomically, write_version
from models.training import train as train_version


@dataclass(frozen=True)
class RunContext:
    """A run on this machine. Its directory has the dataset, the candidate and the log."""

    settings: Settings
    task: Task
    run: Run
    models: TaskModels
    on_step: OnStep

    @property
    def directory(self) -> Path:
        """The directory of the run's files."""
        return run_directory(self.settings, self.run.id)

    @property
    def retraining_settings(self) -> RetrainingSettings:
        """The task's retraining settings."""
        return self.settings.for_task(self.task.name).retraining

    def fetch_champion(self) -> Path:
        """Return the path of the version that the run starts from."""
        return fetch_model(self.settings, self.models, self.run.triggered.champion)

    def fetch_first(self) -> Path | None:
        """Return the path of the lowest version, the first of the task; None if it is the champion."""
        first = next(iter(self.models.versions))
        return None if first == self.run.triggered.champion else fetch_model(self.settings, self.models, first)

    def ensure_dataset(self) -> Path:
        """Return the run's dataset, rebuilt identically if its files are gone."""
        path = self.directory / "dataset"
        if not path.exists():
            days = self.retraining_settings.dataset_days
            until = self.run.time - timedelta(minutes=self.retraining_settings.reward_wait_minutes)
            since = None if days is None else until - timedelta(days=days)
            task_settings = self.settings.for_task(self.task.name)
            query = ReplayQuery(self.task, task_settings, self.run.time, since, until)
            replay(self.settings, query, path, self.on_step, self.run.id)
        return path

    def ensure_candidate(self, candidate: Candidate) -> Path:
        """Return a candidate's path, its card beside it; train it again identically if the files are gone."""
        name = "candidate" if candidate.number == 1 else f"candidate-{candidate.number}"
        directory = self.directory / name
        path = find_version(directory)
        if path is None:
            parent = None if self.retraining_settings.from_scratch else self.fetch_champion()
            trained = train_version(self.task, self.ensure_dataset(), parent, random_seed(candidate), self.on_step)
            write_atomically(directory / "card.json", json.dumps(trained.card, ensure_ascii=False).encode())
            path = write_version(directory, trained.model, trained.files, parent)
        return path

    def publish(self, step: str, data: EventData) -> None:
        """Publish the result of a step. Publishing it again repeats the same event."""
        asyncio.run(publish_all(self.settings, [step_event(self.run, step, data)]))

    def end(self, outcome: str, reason: str) -> None:
        """Publish the end of the run."""
        asyncio.run(publish_all(self.settings, [end_event(self.run, outcome, reason)]))


def random_seed(candidate: Candidate) -> int:
    """Return the seed of a candidate's training and evaluation."""
    return int.from_bytes(hashlib.sha256(candidate.id.encode()).digest()[:4])


def build_dataset(work: RunContext) -> None:
    """Replay the log as of the start of the run."""
    work.ensure_dataset()


def train(work: RunContext) -> None:
    """Train the candidates, or end the run if the gate would refuse any. Raises `Untrainable`."""
    gate = work.retraining_settings.gate
    if missing := missing_evidence(work.task, work.fetch_champion(), work.ensure_dataset(), gate, work.on_step):
        work.end("refused", f"{missing} So no candidate was trained.")
        return
    for candidate in work.run.candidates:
        if candidate.trained is None:
            work.ensure_candidate(candidate)
            fields = {
                "parent": None if work.retraining_settings.from_scratch else work.run.triggered.champion,
                "seed": random_seed(candidate),
                "code": code_version(),
            }
            _publish(work, "train", ModelTrained, candidate, fields)


def backtest(work: RunContext) -> None:
    """Compare the candidates with the served predictions in the dataset's history, as evidence for the gate."""
    for candidate in work.run.candidates:
        if candidate.backtested is None:
            path = work.ensure_candidate(candidate)
            result = backtesting.backtest(work.task, path, work.ensure_dataset(), work.on_step)
            _publish(work, "backtest", ModelBacktested, candidate, {"backtest": result})


def evaluate(work: RunContext) -> None:
    """Compare the candidates with the champion, and apply the gate."""
    for candidate in work.run.candidates:
        if candidate.evaluated is None:
            _evaluate_candidate(work, candidate)


def _evaluate_candidate(work: RunContext, candidate: Candidate) -> None:
    path, dataset, gate = work.ensure_candidate(candidate), work.ensure_dataset(), work.retraining_settings.gate
    for other in work.run.candidates[: candidate.number - 1]:
        if work.ensure_candidate(other).read_bytes() == path.read_bytes():
            reason = f"It is the same as candidate {other.number}: the seed makes no difference to this training."
            _publish(work, "evaluate", ModelEvaluated, candidate, asdict(GateVerdict(False, (reason,), {})))
            return
    assert candidate.backtested is not None
    slices = work.retraining_settings.slice_columns
    evidence = gather_gate_evidence(
        VersionPair(work.task, path, work.fetch_champion(), work.fetch_first()),
        dataset,
        slices,
        candidate.backtested.backtest,
        work.on_step,
        gate.min_answered_share,
        [run.time for run in work.models.runs.values() if run.evaluated and run.time < work.run.time],
        len(work.run.candidates),
    )
    compared = {
        "champion": work.run.triggered.champion,
        "comparisons": tuple(compare_by_evidence(evidence, dataset, slices)),
    }
    _publish(work, "compare", ModelCompared, candidate, compared)
    verdict = evaluate_gate(evidence, gate, random_seed(candidate))
    _publish(work, "evaluate", ModelEvaluated, candidate, asdict(verdict))


def register_candidates(work: RunContext) -> None:
    """Try the candidates that passed, and register them as versions. Raises `SetupError` if one can't serve."""
    for candidate in work.run.passed:
        if candidate.registered is None:
            _register_candidate(work, candidate)


def _register_candidate(work: RunContext, candidate: Candidate) -> None:
    path = work.ensure_candidate(candidate)
    check_model(work.settings, work.task.name, path)
    changes = RegistryWriter(work.settings, work.task, lambda record: publish_all(work.settings, [record]))
    card = json.loads(path.with_name("card.json").read_bytes())
    if reference := build_reference(work.task, path, work.ensure_dataset()):
        card[DRIFT_REFERENCE] = reference
    trained = candidate.trained
    assert trained is not None
    provenance = Provenance(SOURCE, trained.parent, trained.dataset, work.run.id, trained.code, candidate.id)
    version = asyncio.run(
        register(work.settings, work.task, changes, blob_store(work.settings), path, card, provenance)
    )
    if version.registration is None or version.registration.run_id != work.run.id:
        work.end("refused", f"The candidate is version {version.number}, which is registered already.")


def _publish(
    work: RunContext, step: str, kind: type[EventData], candidate: Candidate, fields: Mapping[str, Any]
) -> None:
    """Publish the result of a step of a candidate, which has no version number yet."""
    of_candidate = {
        "task": work.task.name,
        "run_id": work.run.id,
        "model": ModelRef(name=work.task.name, version=candidate.id),
        "dataset": content_hash(work.ensure_dataset()),
    }
    name = step if candidate.number == 1 else f"{step}/{candidate.number}"
    work.publish(name, kind.model_validate(of_candidate | dict(fields)))


STEPS: dict[str, Callable[[RunContext], None]] = {
    "dataset": build_dataset,
    "train": train,
    "backtest": backtest,
    "evaluate": evaluate,
    "register": register_candidates,
}


def load_run(settings: Settings, task: Task, run_id: str, on_step: OnStep) -> RunContext:
    """Return a run as it is in the log now. Raises `SetupError` if it is not there, KafkaError."""
    models = asyncio.run(read_registry(settings, [task])).tasks[task.name]
    if run_id not in models.runs:
        raise SetupError(f"{task.name} has no retraining run {run_id!r}.", "Start one: `hindsight retrain`.")
    return RunContext(settings, task, models.runs[run_id], models, on_step)
