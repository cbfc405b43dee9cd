"""Bounded queries of the overview over the catalog."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from app.catalog.orm import DeadLetterRow, OutcomeRow, PredictionRow
from app.monitoring.quality import QualityEstimate, ScoredOutcome, estimate_quality
from app.outcomes.audit import is_counted

MAX_LATENCIES = 300
"""Maximum number of answers per version from which latencies are computed."""
LATENCY_WINDOW = timedelta(minutes=5)
"""Older answers don't count for the current latency."""
MAX_SCORED = 20_000
"""Maximum number of predictions from which the score is computed."""
MAX_DEAD_LETTERS = 1000
MAX_LATEST = 20
"""Maximum number of a version's newest answers of which one is shown."""


def recent_latencies(connection: Connection, task: str, versions: Sequence[str]) -> list[float]:
    """Return the latencies of the newest answers of each version, in milliseconds."""
    latencies: list[float | None] = []
    for version in versions:
        total = PredictionRow.data["timings_ms"]["total"].as_float()
        newest = select(total).where(
            PredictionRow.task == task,
            PredictionRow.version == version,
            PredictionRow.time >= datetime.now(UTC) - LATENCY_WINDOW,
        )
        latencies += connection.scalars(newest.order_by(PredictionRow.time.desc()).limit(MAX_LATENCIES)).all()
    return [latency for latency in latencies if latency is not None]


def latest_answers(connection: Connection, task: str, versions: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the ids and the data of the newest answers of each version."""
    rows: list[Any] = []
    for version in versions:
        newest = select(PredictionRow.time, PredictionRow.prediction_id, PredictionRow.data).where(
            PredictionRow.task == task, PredictionRow.version == version, PredictionRow.role != "shadow"
        )
        rows += connection.execute(newest.order_by(PredictionRow.time.desc()).limit(MAX_LATEST))
    rows.sort(key=lambda row: row.time, reverse=True)
    return [(row.prediction_id, row.data) for row in rows]


def count_dead_letters(connection: Connection, task: str, since: datetime) -> int:
    """Count the dead letters of a task since a time, up to MAX_DEAD_LETTERS."""
    letters = (
        select(1)
        .where(DeadLetterRow.source_topic.like(f"{task}.%"), DeadLetterRow.logged >= since)
        .limit(MAX_DEAD_LETTERS)
    )
    return connection.scalar(select(func.count()).select_from(letters.subquery())) or 0


def recent_quality(connection: Connection, task: str, version: str, since: datetime) -> QualityEstimate:
    """Estimate the quality of a version's predictions since a time: of the newest MAX_SCORED at most."""
    of_version = (PredictionRow.task == task, PredictionRow.version == version, PredictionRow.time >= since)
    newest = (
        select(PredictionRow.prediction_id, PredictionRow.time)
        .where(*of_version)
        .order_by(PredictionRow.time.desc())
        .limit(MAX_SCORED)
        .subquery()
    )
    outcome = OutcomeRow.data
    rows: Any = connection.execute(
        select(
            newest.c.time,
            OutcomeRow.score,
            OutcomeRow.reward,
            outcome["selection"].as_string().label("selection"),
            outcome["selection_probability"].as_float().label("probability"),
            outcome["accepted"].as_boolean().label("accepted"),
            outcome["audit_answered"].as_boolean().label("audit_answered"),
        ).join(OutcomeRow, OutcomeRow.prediction_id == newest.c.prediction_id)
    )
    outcomes = [
        ScoredOutcome(
            row.time,
            row.reward if row.score is None else row.score,
            row.selection,
            row.probability,
            row.accepted,
            is_counted(row.score, row.accepted, row.reward, row.audit_answered),
        )
        for row in rows
    ]
    count = connection.scalar(select(func.count()).select_from(newest)) or 0
    return estimate_quality(outcomes, count)
