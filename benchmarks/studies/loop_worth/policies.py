"""The policies that the study compares: never to retrain, always to retrain, the loop, and an oracle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from app.registry.shipped import shipped_versions
from app.settings import Settings, TaskSettings
from app.settings.retraining import RetrainingSettings
from benchmarks.studies.loop_worth.deployment import Deployment
from benchmarks.studies.loop_worth.log import predict
from benchmarks.studies.loop_worth.streams import START, Request, StreamedTask

Stream = Sequence[Sequence[Request]]

LOOKS_A_DAY = 4
_TRUSTED_LATENCY_RATIO = 1e6
"""The time is simulated: the latencies that the gate measures are those of a busy machine."""


def scale_settings(requests: int, labelled_share: float) -> RetrainingSettings:
    """Return a deployment's settings for a stream of so many requests a day, whose source changes within a week.

    A run starts after the labels of two days at the latest; each step of a rollout takes half a day.
    """
    return RetrainingSettings.model_validate(
        {
            "triggers": {
                "min_new_labels": round(2 * labelled_share * requests),
                "quality_min_labelled": 20,
                "drift_windows": None,
            },
            "window_minutes": 24 * 60,
            "feedback_wait_minutes": 0,
            "dataset_days": 7,
            "slice_columns": [],  # all requests are of one slice: it would be the history over again
            "gate": {
                "recent_outcomes": 20,  # as few as the gate takes: a change shows the soonest
                "history_tolerance": 1.0,  # what the old source asked for need not be right any more
                "unseen_loss": 0.1,  # the shadow compares both versions on each label before anybody is served
                "max_latency_ratio": _TRUSTED_LATENCY_RATIO,
            },
            "rollout": {
                "assignment": "request",
                "min_shadow_answers": requests // 4,
                "canary_shares": [0.5],
                "min_answers": requests // 8,
                "max_minutes": 12 * 60,
                "max_latency_ratio": _TRUSTED_LATENCY_RATIO,
            },
        }
    )


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


@dataclass(frozen=True)
class Comparison:
    """A stream, and the people who answer."""

    streamed: StreamedTask
    stream: Stream
    audit_rate: float
    """The share of the answers that are audited, all of them answered. Rewards come for every answer."""
    seed: int

    def results(self) -> Iterator[PolicyResult]:
        """Yield each policy's result."""
        with TemporaryDirectory() as directory:
            home = Path(directory)
            first = next(iter(shipped_versions(self.streamed.task()).values()))
            yield PolicyResult("never", self._score_version(first))
            yield _always(self._deployment(home / "always", RetrainingSettings()), self.stream)
            yield self.follow_loop(home / "loop")
            informed = replace(self, audit_rate=1.0)
            for phase in range(self.stream[-1][-1].phase + 1):
                _inform(informed._deployment(home / f"phase-{phase}", RetrainingSettings()), self.stream, phase)
            yield self._oracle([first, *sorted(home.glob("*/runs/*/candidate*/model.onnx"))])

    def follow_loop(self, home: Path) -> PolicyResult:
        """Return the result of the loop, whose files are in this folder."""
        labelled_share = self.audit_rate if self.streamed.rewards is None else 1.0
        plan = scale_settings(len(self.stream[0]), labelled_share)
        deployment = self._deployment(home, plan)
        return _result("loop", deployment, serve_by_loop(deployment, self.stream))

    def _deployment(self, home: Path, plan: RetrainingSettings) -> Deployment:
        is_rewarded = self.streamed.rewards is not None
        rules = TaskSettings(audit_rate=self.audit_rate, full_feedback=is_rewarded, retraining=plan)
        return Deployment(
            self.streamed, Settings(home=home, task_settings={self.streamed.task().name: rules}), self.seed
        )

    def _oracle(self, versions: Sequence[Path]) -> PolicyResult:
        """Serve each day by the version that is the best for it, in hindsight."""
        scores = np.array([self._score_version(version) for version in versions])
        return PolicyResult("oracle", scores.max(axis=0).tolist(), len(versions) - 1, labels=sum(map(len, self.stream)))

    def _score_version(self, version: Path) -> list[float]:
        """Return what a version alone would score on each day."""
        task, requests = self.streamed.task(), [request for day in self.stream for request in day]
        answers = zip(requests, predict(task, version, [request.asked for request in requests]), strict=True)
        values = [self.streamed.value(task, request.sample, answer.output) for request, answer in answers]
        return [float(score) for score in np.reshape(values, (len(self.stream), -1)).mean(axis=1)]


def _always(deployment: Deployment, stream: Stream) -> PolicyResult:
    """Retrain at the end of each day on everything, and promote without a gate."""
    scores = []
    for day, requests in enumerate(stream):
        scores.append(float(np.mean(deployment.serve(requests))))
        deployment.now = START + timedelta(days=day + 1)
        deployment.promote_new()
    return _result("always", deployment, scores)


def serve_by_loop(deployment: Deployment, stream: Stream) -> list[float]:
    """Let triggers, gate and rollout decide, a few times a day; return the score of each day."""
    scores = []
    for day, requests in enumerate(stream):
        values = list[float]()
        for look in range(LOOKS_A_DAY):
            start, end = (len(requests) * part // LOOKS_A_DAY for part in (look, look + 1))
            values += deployment.serve(requests[start:end])
            deployment.now = START + timedelta(days=day + (look + 1) / LOOKS_A_DAY)
            deployment.look()
        scores.append(float(np.mean(values)))
    return scores


def _inform(deployment: Deployment, stream: Stream, phase: int) -> None:
    """Train a version from the first one on labels of all requests of a phase."""
    deployment.serve([request for requests in stream for request in requests if request.phase == phase])
    deployment.promote_new()


def _result(policy: str, deployment: Deployment, scores: list[float]) -> PolicyResult:
    runs = deployment.models.runs.values()
    promotions = sum(change.event.action == "promote" for change in deployment.models.changes)
    ended = [run.ended.outcome for run in runs if run.ended is not None]
    return PolicyResult(
        policy,
        scores,
        trainings=len(list(deployment.settings.home.glob("runs/*/candidate*/model.onnx"))),
        promotions=promotions,
        refusals=sum(outcome != "promoted" for outcome in ended),
        labels=deployment.log.labels,
    )
