"""The lineage of a version: its origin and its use, from the log, its dataset and the catalog."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel
from sqlalchemy import Connection, func, select

from app.catalog.catalog import Catalog
from app.catalog.orm import PredictionRow
from app.errors import Unavailable
from app.events.model_events import Backtest
from app.registry.registry import TaskModels
from app.registry.runs import Run
from app.settings import Settings
from models.datasets import ROWS


class Lineage(BaseModel):
    """The lineage of a version. A null field is unknown or does not apply."""

    task: str
    version: str
    role: str | None
    artifact: str
    parent: str | None
    """The version that the training started from."""
    registered: str | None
    """The actor that registered it."""
    code: str | None
    """The commit of the code that trained it."""
    run: str | None
    """The retraining run."""
    trigger: str | None
    """The trigger of that run; `evidence` has its figures."""
    evidence: dict[str, Any] | None
    dataset: dict[str, Any] | None
    """Its content hash, location and rows, and its times in the log."""
    labelled: dict[str, int] | None
    """The number of labels by actor; null if the dataset's files are gone."""
    backtest: Backtest | None
    """Its results on the history in that dataset."""
    gate: dict[str, float] | None
    """The metrics of the gate."""
    routes: list[str]
    """The changes of its role, each with time and reason."""
    card: dict[str, Any]
    """Its card: data, settings, figures."""
    served: dict[str, int] | None
    """The number of predictions by role; null without a catalog."""


def trace_lineage(settings: Settings, models: TaskModels, number: str) -> Lineage:
    """Return the lineage of a version. Raises `SetupError` if it does not exist."""
    version = models.version(number)
    registration = version.registration
    run = models.runs.get(registration.run_id or "") if registration else None
    candidate = run and run.candidate_of(number)
    return Lineage(
        task=version.task,
        version=number,
        role=models.route.role(number),
        artifact=version.artifact,
        parent=registration and registration.parent,
        registered=registration and registration.actor,
        code=registration and registration.code,
        run=run and run.id,
        trigger=run and run.triggered.trigger,
        evidence=run and run.triggered.evidence,
        dataset=_dataset_summary(run),
        labelled=_label_counts(run),
        backtest=candidate and candidate.backtested and candidate.backtested.backtest,
        gate=candidate and candidate.evaluated and candidate.evaluated.metrics,
        routes=[
            _format_change(change.time, change.event.action, change.event.reason, change.event.actor)
            for change in models.changes
            if number in (change.event.champion, change.event.canary, change.event.replaced, *change.event.shadows)
        ],
        card=dict(version.card),
        served=_prediction_counts(settings, version.task, number),
    )


def _format_change(time: datetime, action: str, reason: str, actor: str) -> str:
    return f"{time.isoformat(timespec='seconds')} {action}, by {actor}: {reason}"


def _dataset_summary(run: Run | None) -> dict[str, Any] | None:
    if run is None or run.dataset is None:
        return None
    dataset = run.dataset
    arguments = dataset.manifest.get("arguments")
    times = {name: arguments.get(name) if isinstance(arguments, dict) else None for name in ("from", "to", "as_of")}
    return {"content_hash": dataset.content_hash, "location": dataset.location, "rows": dataset.rows, **times}


def _label_counts(run: Run | None) -> dict[str, int] | None:
    if run is None or run.dataset is None:
        return None
    try:
        path = Path(unquote(urlsplit(run.dataset.location).path)) / ROWS
        if not path.is_file():
            return None
        rows = pq.read_table(path, columns=["actors"])["actors"].to_pylist()
        return dict(Counter(actor for actors in rows for actor in actors or ()).most_common())
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):  # a damaged dataset has no counts
        return None


def _prediction_counts(settings: Settings, task: str, version: str) -> dict[str, int] | None:
    of_version = (PredictionRow.task == task, PredictionRow.version == version)
    counts = select(PredictionRow.role, func.count()).where(*of_version).group_by(PredictionRow.role)

    def read_counts(connection: Connection) -> dict[str, int]:
        return dict(connection.execute(counts).tuples().all())

    catalog = Catalog(settings.catalog_url)
    try:
        return catalog.query(read_counts)
    except Unavailable:
        return None
    finally:
        catalog.close()
