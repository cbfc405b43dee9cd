"""The evidence of a rollout, from the catalog: the results of both versions since a time, all of them, as sums."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, case, func, literal, not_, or_, select
from sqlalchemy.orm import aliased

from app.catalog.catalog import decode_row
from app.catalog.histograms import LatencyStage, count_latencies
from app.catalog.orm import FailureRow, OutcomeRow, PredictionRow
from app.evaluation.scoring import score
from app.events.ids import shadow_id
from app.events.types import OutcomeRecorded, PredictionMade, Role
from app.retraining.rollout.comparison import REWARD_RANGE, Arm, RolloutEvidence
from app.retraining.rollout.elimination import ShadowScores
from app.settings.rollout import RolloutSettings
from app.statistics.clusters import ClusterSums, known_deviations
from models.base import Task
from models.off_policy import Floats

HISTORY = timedelta(days=7)
"""How far before a step the champion's scores tell how hard each key is."""
_LOOKS = 0.01
"""The time between two looks, as a share of the step's: a look reads all of the step, so that its cost grows too."""

_REJECTED = OutcomeRow.data["accepted"].as_boolean().is_(False)
_COUNTED = and_(
    OutcomeRow.data["selection_probability"].as_float().is_not(None),
    or_(
        and_(OutcomeRow.score.is_(None), not_(_REJECTED)),
        not_(OutcomeRow.data["audit_answered"].as_boolean().is_(False)),
    ),
)
"""The outcomes that count: selected with a known probability, whatever the output is, and answered because they were
selected, not by volunteers alone; as `app.outcomes.audit.is_counted`."""
_SCORE = func.coalesce(OutcomeRow.score, OutcomeRow.reward, case((_REJECTED, 0.0)))
"""As `app.evaluation.scoring.outcome_score`."""


def is_due(last_look: datetime | None, since: datetime, now: datetime) -> bool:
    """Return whether it is time for another look at a step that began at `since`."""
    return last_look is None or last_look < since or now - last_look >= _LOOKS * (now - since)


def gather_rollout_evidence(
    connection: Connection,
    task: Task,
    candidate: tuple[str, Role],
    champion: str,
    since: datetime,
    now: datetime,
    plan: RolloutSettings,
) -> RolloutEvidence:
    """Return the results of the candidate, in its role, and of the champion since a time.

    Latency is the total latency. A shadow starts after the answer, so beside a shadow it is the model call's latency.
    """
    version, role = candidate
    is_shadow = role == "shadow"
    stage: LatencyStage = "inference" if is_shadow else "total"
    of_candidate = _conditions(task.name, version, role, since)
    of_champion = _conditions(task.name, champion, "champion", since)
    own, others = ClusterSums.of([]), ClusterSums.of([])
    if not is_shadow:
        own, others = (_scores(connection, arm, plan) for arm in (of_candidate, of_champion))
        if plan.assignment == "key":
            before = _conditions(task.name, champion, "champion", since - HISTORY)
            history = _scores(connection, (*before, PredictionRow.time < since), plan, min_count=2)
            own, others = (arm.less(known_deviations(history)) for arm in (own, others))
    return RolloutEvidence(
        _arm(connection, of_candidate, _errors(task.name, version, role, since), own, stage),
        _arm(connection, of_champion, _errors(task.name, champion, "champion", since), others, stage),
        (now - since).total_seconds() / 60,
        task.score_range if is_shadow or not _any_rewards(connection, task, since) else REWARD_RANGE,
        _losses(connection, task, version, of_champion) if is_shadow else None,
    )


def gather_shadow_scores(
    connection: Connection, task: Task, shadows: tuple[str, ...], champion: str, since: datetime, now: datetime
) -> ShadowScores:
    """Return the scores of the champion and of shadows on the same requests since a time."""
    scores, keys = _paired_scores(connection, task, shadows, _conditions(task.name, champion, "champion", since))
    return ShadowScores(champion, shadows, scores, keys, (now - since).total_seconds() / 60, task.score_range)


def _conditions(task: str, version: str, role: Role, since: datetime) -> tuple[Any, ...]:
    of_version = (PredictionRow.task == task, PredictionRow.version == version, PredictionRow.role == role)
    return (*of_version, PredictionRow.time >= since)


def _errors(task: str, version: str, role: Role, since: datetime) -> tuple[Any, ...]:
    of_version = (FailureRow.task == task, FailureRow.version == version, FailureRow.role == role)
    return (*of_version, FailureRow.time >= since)


def _arm(
    connection: Connection,
    predictions: Sequence[Any],
    failures: Sequence[Any],
    scores: ClusterSums,
    stage: LatencyStage,
) -> Arm:
    latencies = count_latencies(connection, predictions, stage)
    errors = connection.scalar(select(func.count()).select_from(FailureRow).where(*failures)) or 0
    return Arm(
        answers=latencies.total + errors,
        errors=errors,
        scores=scores,
        latencies_ms=latencies,
    )


def _scores(
    connection: Connection, predictions: Sequence[Any], plan: RolloutSettings, min_count: int = 1
) -> ClusterSums:
    """Return the scores of served predictions, summed by what was assigned to a version: a key, or each request.

    Keys with fewer scores than `min_count` are left out.
    """
    by_key = func.coalesce(PredictionRow.key_digest, PredictionRow.prediction_id)
    cluster = by_key if plan.assignment == "key" else literal("all")
    sums = (
        select(cluster.label("cluster"), _SCORE.label("score"))
        .select_from(PredictionRow)
        .join(OutcomeRow, OutcomeRow.prediction_id == PredictionRow.prediction_id)
        .where(*predictions, _COUNTED, _SCORE.is_not(None))
        .subquery()
    )
    value = sums.c.score
    columns = (sums.c.cluster, func.count(), func.sum(value), func.sum(value * value))
    by_cluster = select(*columns).group_by(sums.c.cluster).having(func.count() >= min_count)
    return ClusterSums.of(connection.execute(by_cluster).all())


def _any_rewards(connection: Connection, task: Task, since: datetime) -> bool:
    """Return whether an outcome has a reward instead of a score."""
    rewarded = (OutcomeRow.task == task.name, OutcomeRow.time >= since, OutcomeRow.score.is_(None))
    query = select(OutcomeRow.prediction_id).where(*rewarded, OutcomeRow.reward.is_not(None)).limit(1)
    return connection.scalar(query) is not None


def _losses(connection: Connection, task: Task, version: str, served: Sequence[Any]) -> Floats:
    """Return the champion's score less the shadow's on the labelled requests that both answered."""
    scores, _ = _paired_scores(connection, task, (version,), served)
    both = scores[np.isfinite(scores[:, 1])]
    losses: Floats = both[:, 0] - both[:, 1]
    return losses


def _paired_scores(
    connection: Connection, task: Task, shadows: Sequence[str], served: Sequence[Any]
) -> tuple[Floats, tuple[str, ...]]:
    """Return the scores of the champion and the shadows (requests, 1 + shadows), and the requests' keys (requests,).

    They are in the order of the labels, and NaN where a shadow did not answer. A reward or a rejection alone is not a
    label: it says nothing of a shadow's output.
    """
    by_key = func.coalesce(PredictionRow.key_digest, PredictionRow.prediction_id).label("key")
    labelled = (
        select(PredictionRow.prediction_id, by_key, OutcomeRow.type, OutcomeRow.data)
        .select_from(PredictionRow)
        .join(OutcomeRow, OutcomeRow.prediction_id == PredictionRow.prediction_id)
        .where(*served, _COUNTED, OutcomeRow.score.is_not(None))
        .order_by(OutcomeRow.time, OutcomeRow.prediction_id)
    )
    rows = [(row.prediction_id, row.key, decode_row(row, OutcomeRecorded)) for row in connection.execute(labelled)]
    labels = [
        (request, key, outcome.score, outcome.label) for request, key, outcome in rows if outcome.label is not None
    ]
    scores = np.full((len(labels), 1 + len(shadows)), np.nan)
    scores[:, 0] = [value for _, _, value, _ in labels]
    places = {request: place for place, (request, *_) in enumerate(labels)}
    for column, version in enumerate(shadows, 1):
        shadow = aliased(PredictionRow)
        answered = labelled.join(
            shadow, shadow.prediction_id == PredictionRow.prediction_id + shadow_id("", version)
        ).with_only_columns(PredictionRow.prediction_id.label("request"), shadow.type, shadow.data)
        for row in connection.execute(answered):
            if (place := places.get(row.request)) is not None:
                scores[place, column] = score(task, decode_row(row, PredictionMade).output, labels[place][-1])
    return scores, tuple(key for _, key, _, _ in labels)
