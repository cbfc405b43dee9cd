"""What there is to be looked at: the random audit, and what the model is least sure of. Bounded questions.

A prediction that the audit has drawn is in the audit's queue alone: if the least certain of them were judged first, an
audit that is half done would say that the model is worse than it is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, func, select

from app.catalog.orm import Feedback, Outcome, Prediction
from app.outcomes.label_aggregation import drawn
from app.settings import TaskSettings

Queue = Literal["audit", "uncertain"]
QUEUES: tuple[Queue, ...] = get_args(Queue)

AUDITED = 20_000
"""The audit is looked for in so many of a version's predictions, the newest."""
CERTAIN = 2_000
"""Of so many, the newest, the least certain are found."""
MOST = 200
"""So many of a queue are found at once."""
RECENT = 50


def waiting(
    connection: Connection, queue: Queue, task: str, versions: Sequence[str], rules: TaskSettings, since: datetime
) -> list[str]:
    """The ids of the queue's predictions of these versions that nobody has said anything of, the first to do first."""
    rate = 0.0 if rules.all_are_judged else rules.audit_rate
    if queue == "audit":
        made = [(row.time, row.prediction_id) for row in _newest(connection, task, versions, since, AUDITED)]
        ids = [unique for _, unique in sorted(made) if drawn(unique, rate)]
    else:
        confidence = Prediction.data["confidence"].as_float()
        rows = _newest(connection, task, versions, since, CERTAIN, confidence.label("confidence"))
        sure = [(row.confidence, row.prediction_id) for row in rows if not drawn(row.prediction_id, rate)]
        ids = [unique for _, unique in sorted(sure)]
    found: list[str] = []
    for start in range(0, len(ids), MOST):
        some = ids[start : start + MOST]
        judged = said_of(connection, some)
        found += [unique for unique in some if unique not in judged]
        if len(found) >= MOST:
            break
    return found[:MOST]


def _newest(
    connection: Connection, task: str, versions: Sequence[str], since: datetime, most: int, *columns: Any
) -> list[Any]:
    """Predictions that were served."""
    found: list[Any] = []
    for version in versions:
        of_version = (Prediction.task == task, Prediction.version == version, Prediction.time >= since)
        newest = select(Prediction.prediction_id, Prediction.time, *columns).where(*of_version)
        found += connection.execute(
            newest.where(Prediction.role != "shadow").order_by(Prediction.time.desc()).limit(most)
        )
    return found


def said_of(connection: Connection, prediction_ids: Collection[str]) -> set[str]:
    """Those of which something was said."""
    found = select(Feedback.prediction_id).where(Feedback.prediction_id.in_(prediction_ids))
    return set(connection.scalars(found))


@dataclass(frozen=True)
class Judged:
    """A prediction of which something was said, and by whom."""

    prediction_id: str
    time: datetime
    output: dict[str, Any]
    label: dict[str, Any] | None
    reward: float | None
    score: float | None
    contradicted: bool
    actors: tuple[str, ...]
    selection: str


def judged(connection: Connection, task: str, versions: Sequence[str], since: datetime) -> list[Judged]:
    """The newest predictions of which something was said, contradicted ones first."""
    found: list[Any] = []
    for version in versions:
        of_version = (Prediction.task == task, Prediction.version == version, Prediction.time >= since)
        newest = select(Prediction.prediction_id, Prediction.time).where(*of_version)
        some = newest.order_by(Prediction.time.desc()).limit(CERTAIN).subquery()
        outcomes = select(some.c.prediction_id, some.c.time, Outcome.data).join(
            Outcome, Outcome.prediction_id == some.c.prediction_id
        )
        said = Outcome.data["feedback"].as_integer() > 0
        found += connection.execute(outcomes.where(said).order_by(some.c.time.desc()).limit(RECENT)).all()
    return sorted((_judged(row) for row in found), key=lambda one: (one.contradicted, one.time), reverse=True)[:RECENT]


def _judged(row: Any) -> Judged:
    said = row.data
    return Judged(
        prediction_id=row.prediction_id,
        time=row.time,
        output=said["output"],
        label=said.get("label"),
        reward=said.get("reward"),
        score=said.get("score"),
        contradicted=bool(said.get("contradicted")),
        actors=tuple(said.get("actors") or ()),
        selection=said["selection"],
    )


def count(connection: Connection, task: str, versions: Sequence[str], start: datetime, end: datetime) -> int:
    """How many predictions there are between two moments."""
    made = (Prediction.task == task, Prediction.version.in_(versions), Prediction.time >= start, Prediction.time < end)
    return connection.scalar(select(func.count()).where(*made)) or 0
