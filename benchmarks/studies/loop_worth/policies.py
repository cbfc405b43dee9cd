"""The policies that the study compares: never to retrain, always to retrain, the loop, and an oracle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from app.registry.shipped import shipped_versions
from app.settings import Settings, TaskSettings
from app.settings.retraining import RetrainingSettings
from benchmarks.studies.loop_worth.deployment import Deployment
from benchmarks.studies.loop_worth.log import predict
from benchmarks.studies.loop_worth.streams import PHASES, START, Request, StreamedTask

Stream = Sequence[Sequence[Request]]

AUDIT_RATE = 0.2
LOOKS_A_DAY = 4
LOOP = RetrainingSettings.model_validate(
    {
        "triggers": {"min_new_labels": 150, "quality_min_labelled": 20, "drift_windows": None},
        "window_minutes": 24 * 60,
        "feedback_wait_minutes": 0,
        "dataset_days": 7,
        "gate": {"recent_outcomes": 40, "unseen_loss": 0.1, "max_latency_ratio": 1e6},
        "rollout": {
            "assignment": "request",
            "min_shadow_answers": 50,
            "canary_shares": [0.5],
            "min_answers": 50,
            "max_minutes": 12 * 60,
            "max_latency_ratio": 1e6,
        },
    }
)
"""A deployment's settings, scaled to a stream of a few hundred requests a day, whose time is simulated."""


@dataclass(frozen=True)
class PolicyResult:
    """What a policy has served, and what it took."""

    policy: str
    daily_scores: list[float]
    trainings: int = 0
    promotions: int = 0
    refusals: int = 0
    """Runs that ended without a promotion."""
    labels: int = 0
    """Corrections or rewards that were given."""

    @property
    def score(self) -> float:
        """The mean over all requests: each day has as many."""
        return float(np.mean(self.daily_scores))


def compare(streamed: StreamedTask, stream: Stream, seed: int) -> Iterator[PolicyResult]:
    """Yield each policy's result on the same stream."""
    with TemporaryDirectory() as directory:
        home = Path(directory)
        first = next(iter(shipped_versions(streamed.task()).values()))
        yield PolicyResult("never", _score_version(streamed, stream, first))
        yield _always(_deployment(streamed, home / "always", RetrainingSettings(), seed), stream)
        yield _loop(_deployment(streamed, home / "loop", LOOP, seed), stream)
        for phase in range(len(PHASES)):
            _inform(_deployment(streamed, home / f"phase-{phase}", RetrainingSettings(), seed, 1.0), stream, phase)
        yield _oracle(streamed, stream, [first, *sorted(home.glob("*/runs/*/candidate/model.onnx"))])


def _deployment(
    streamed: StreamedTask, home: Path, plan: RetrainingSettings, seed: int, audit_rate: float = AUDIT_RATE
) -> Deployment:
    rules = TaskSettings(audit_rate=audit_rate, full_feedback=streamed.rewards is not None, retraining=plan)
    return Deployment(streamed, Settings(home=home, task_settings={streamed.task().name: rules}), seed)


def _always(deployment: Deployment, stream: Stream) -> PolicyResult:
    """Retrain at the end of each day on everything, and promote without a gate."""
    scores = []
    for day, requests in enumerate(stream):
        scores.append(float(np.mean(deployment.serve(requests))))
        deployment.now = START + timedelta(days=day + 1)
        deployment.promote_new()
    return _result("always", deployment, scores)


def _loop(deployment: Deployment, stream: Stream) -> PolicyResult:
    """Let triggers, gate and rollout decide, a few times a day."""
    scores = []
    for day, requests in enumerate(stream):
        values = list[float]()
        for look in range(LOOKS_A_DAY):
            start, end = (len(requests) * part // LOOKS_A_DAY for part in (look, look + 1))
            values += deployment.serve(requests[start:end])
            deployment.now = START + timedelta(days=day + (look + 1) / LOOKS_A_DAY)
            deployment.look()
        scores.append(float(np.mean(values)))
    return _result("loop", deployment, scores)


def _inform(deployment: Deployment, stream: Stream, phase: int) -> None:
    """Train a version from the first one on labels of all requests of a phase."""
    deployment.serve([request for requests in stream for request in requests if request.phase == phase])
    deployment.promote_new()


def _oracle(streamed: StreamedTask, stream: Stream, versions: Sequence[Path]) -> PolicyResult:
    """Serve each day by the version that is the best for it, in hindsight."""
    scores = np.array([_score_version(streamed, stream, version) for version in versions])
    labels = sum(map(len, stream))
    return PolicyResult("oracle", scores.max(axis=0).tolist(), len(versions) - 1, labels=labels)


def _result(policy: str, deployment: Deployment, scores: list[float]) -> PolicyResult:
    runs = deployment.models.runs.values()
    promotions = sum(change.event.action == "promote" for change in deployment.models.changes)
    ended = [run.ended.outcome for run in runs if run.ended is not None]
    return PolicyResult(
        policy,
        scores,
        trainings=len(list(deployment.settings.home.glob("runs/*/candidate/model.onnx"))),
        promotions=promotions,
        refusals=sum(outcome != "promoted" for outcome in ended),
        labels=deployment.log.labels,
    )


def _score_version(streamed: StreamedTask, stream: Stream, version: Path) -> list[float]:
    """Return what a version alone would score on each day."""
    task = streamed.task()
    return [
        float(
            np.mean(
                [
                    streamed.value(task, request.sample, decoded.output)
                    for request, decoded in zip(
                        requests, predict(task, version, [request.asked for request in requests]), strict=True
                    )
                ]
            )
        )
        for requests in stream
    ]
