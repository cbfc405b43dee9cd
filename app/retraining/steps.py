"""The steps of a retraining run, from the log to a registered candidate: what every backend calls.

Each step ends with an event, and finds what an earlier try of it has left: a run that was killed goes on where it was.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from app.blobs import blob_store
from app.data import Data
from app.embedded.errors import SetupError
from app.eventlog.arguments import Arguments
from app.eventlog.replay import replay
from app.events import ModelBacktested, ModelEvaluated, ModelRef, ModelTrained
from app.publishing import publish_all
from app.registry.changes import Changes
from app.registry.following import read
from app.registry.registering import Provenance, register
from app.registry.registry import Models
from app.registry.runs import Run
from app.registry.versions import fetched, write_whole
from app.retraining import backtest as backtesting
from app.retraining.code import version_of_code
from app.retraining.drifting import REFERENCE
from app.retraining.evidence import Contest, gather
from app.retraining.files import SOURCE, directory_of, end_of, said_of
from app.retraining.gate import judge
from app.retraining.plan import Retraining
from app.retraining.usual import reference
from app.settings import Settings
from models.base import OnStep, Task
from models.datasets import content_hash
from models.training import train as fit_version


@dataclass(frozen=True)
class Work:
    """A run on this machine: its directory has the dataset, the candidate and the log."""

    settings: Settings
    task: Task
    run: Run
    models: Models
    on_step: OnStep

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return directory_of(self.settings, self.run.id)

    @property
    def plan(self) -> Retraining:
        """The task's settings."""
        return self.settings.of_task(self.task.name).retraining

    @property
    def seed(self) -> int:
        """The seed of all that is random in this run."""
        return int.from_bytes(hashlib.sha256(self.run.id.encode()).digest()[:4])

    def champion(self) -> Path:
        """The ONNX file of the version that the run starts from."""
        return fetched(self.settings, self.models, self.run.triggered.champion)

    def dataset(self) -> Path:
        """The run's dataset; made again, and the same, where its files are gone."""
        path = self.directory / "dataset"
        if not path.exists():
            since = self.plan.window_days and self.run.time - timedelta(days=self.plan.window_days)
            rules = self.settings.of_task(self.task.name)
            arguments = Arguments(self.task, rules, self.run.time, since or None, self.run.time)
            replay(self.settings, arguments, path, self.on_step, self.run.id)
        return path

    def candidate(self) -> Path:
        """The candidate's ONNX file, its card beside it; fitted again, and the same, where its files are gone."""
        path = self.directory / "candidate" / "model.onnx"
        if not path.exists():
            parent = None if self.plan.from_scratch else self.champion()
            trained = fit_version(self.task, self.dataset(), parent, self.seed, self.on_step)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path.with_name("card.json"), json.dumps(trained.card, ensure_ascii=False).encode())
            write_whole(path, trained.model)
        return path

    def say(self, step: str, said: Data) -> None:
        """Publish what a step comes to. Said again, it is the same event."""
        asyncio.run(publish_all(self.settings, [said_of(self.run, step, said)]))

    def end(self, outcome: str, reason: str) -> None:
        """Say that the run is over."""
        asyncio.run(publish_all(self.settings, [end_of(self.run, outcome, reason)]))


def dataset(work: Work) -> None:
    """Replay the log, as it was known when the run began."""
    work.dataset()


def train(work: Work) -> None:
    """Fit a candidate. Raises `Untrainable`."""
    work.candidate()
    work.say(
        "train",
        ModelTrained(
            task=work.task.name,
            run_id=work.run.id,
            model=_ref(work),
            parent=None if work.plan.from_scratch else work.run.triggered.champion,
            dataset=content_hash(work.dataset()),
            seed=work.seed,
            code=version_of_code(),
        ),
    )


def backtest(work: Work) -> None:
    """Run the candidate over the dataset's history, beside what was served. Before the gate, which looks at it."""
    found = backtesting.backtest(work.task, work.candidate(), work.dataset(), work.on_step, work.seed)
    dataset = content_hash(work.dataset())
    said = {"task": work.task.name, "run_id": work.run.id, "model": _ref(work), "dataset": dataset, "backtest": found}
    work.say("backtest", ModelBacktested.model_validate(said))


def evaluate(work: Work) -> None:
    """Hold the candidate against the champion, and let the gate judge."""
    assert work.run.backtested is not None
    contest = Contest(work.task, work.candidate(), work.champion())
    evidence = gather(contest, work.dataset(), work.plan.slices, work.run.backtested.backtest, work.on_step)
    verdict = judge(evidence, work.plan.gate, work.seed)
    found = content_hash(work.dataset())
    said = ModelEvaluated(task=work.task.name, run_id=work.run.id, model=_ref(work), dataset=found, **asdict(verdict))
    work.say("evaluate", said)


def refuse(work: Work, evaluated: ModelEvaluated) -> None:
    """End a run whose candidate did not pass the gate; its files stay."""
    work.end("refused", " ".join(evaluated.reasons))


def register_candidate(work: Work) -> None:
    """Make the candidate a version of the registry."""
    path = work.candidate()
    changes = Changes(work.settings, work.task, lambda record: publish_all(work.settings, [record]))
    card = json.loads(path.with_name("card.json").read_bytes())
    if usual := reference(work.task, path, work.dataset()):
        card[REFERENCE] = usual
    trained = work.run.trained
    assert trained is not None
    provenance = Provenance(SOURCE, trained.parent, trained.dataset, work.run.id, trained.code)
    found = asyncio.run(
        register(work.settings, work.task, changes, blob_store(work.settings), path.read_bytes(), card, provenance)
    )
    if found.registered is None or found.registered.run_id != work.run.id:
        work.end("refused", f"The candidate is version {found.number}, which is registered already.")


STEPS: dict[str, Callable[[Work], None]] = {
    "dataset": dataset,
    "train": train,
    "backtest": backtest,
    "evaluate": evaluate,
    "register": register_candidate,
}


def work_of(settings: Settings, task: Task, run_id: str, on_step: OnStep) -> Work:
    """The run as the log has it now. Raises `SetupError` for one that it doesn't have, KafkaError."""
    models = asyncio.run(read(settings, [task])).tasks[task.name]
    if run_id not in models.runs:
        raise SetupError(f"{task.name} has no retraining run {run_id!r}.", "`hindsight retrain` begins one.")
    return Work(settings, task, models.runs[run_id], models, on_step)


def _ref(work: Work) -> ModelRef:
    """The candidate, before it has a number: named by its run."""
    return ModelRef(name=work.task.name, version=work.run.id)
