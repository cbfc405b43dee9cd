"""Where a version comes from, and what it did: answered from the log, its dataset and the catalog."""

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
    """All that is known of a version. What is null is not known, or does not apply."""

    task: str
    version: str
    role: str | None
    artifact: str
    parent: str | None
    """The version that its fitting started from."""
    registered: str | None
    """By whom."""
    code: str | None
    """The commit that fitted it."""
    run: str | None
    """The retraining run."""
    trigger: str | None
    """What began that, and what it saw."""
    evidence: dict[str, Any] | None
    dataset: dict[str, Any] | None
    """Its content hash, location, rows, and what of the log it was made from."""
    labelled: dict[str, int] | None
    """How many of the dataset's labels each actor stands behind; null where its files are gone."""
    backtest: Backtest | None
    """What it would have done in the past of that dataset."""
    gate: dict[str, float] | None
    """What the gate has measured."""
    routes: list[str]
    """When and why its role changed."""
    served: dict[str, int] | None
    """How many predictions it made in each role; null without a catalog."""


def trace_lineage(settings: Settings, models: TaskModels, number: str) -> Lineage:
    """Of one version. Raises `SetupError` for one that is not there."""
    version = models.version(number)
    said = version.registration
    run = models.runs.get(said.run_id or "") if said else None
    return Lineage(
        task=version.task,
        version=number,
        role=models.route.role(number),
        artifact=version.artifact,
        parent=said and said.parent,
        registered=said and said.actor,
        code=said and said.code,
        run=run and run.id,
        trigger=run and run.triggered.trigger,
        evidence=run and run.triggered.evidence,
        dataset=_dataset_summary(run),
        labelled=_label_counts(run),
        backtest=run and run.backtested and run.backtested.backtest,
        gate=run and run.evaluated and run.evaluated.metrics,
        routes=[
            _format_change(change.time, change.event.action, change.event.reason, change.event.actor)
            for change in models.changes
            if number in (change.event.champion, change.event.canary, change.event.replaced, *change.event.shadows)
        ],
        served=_prediction_counts(settings, version.task, number),
    )


def _format_change(time: datetime, action: str, reason: str, actor: str) -> str:
    return f"{time.isoformat(timespec='seconds')} {action}, by {actor}: {reason}"


def _dataset_summary(run: Run | None) -> dict[str, Any] | None:
    if run is None or run.dataset is None:
        return None
    built = run.dataset
    arguments = built.manifest.get("arguments")
    asked = {name: arguments.get(name) if isinstance(arguments, dict) else None for name in ("from", "to", "as_of")}
    return {"content_hash": built.content_hash, "location": built.location, "rows": built.rows, **asked}


def _label_counts(run: Run | None) -> dict[str, int] | None:
    if run is None or run.dataset is None:
        return None
    try:
        path = Path(unquote(urlsplit(run.dataset.location).path)) / ROWS
        if not path.is_file():
            return None
        actors = pq.read_table(path, columns=["actors"])["actors"].to_pylist()
        return dict(Counter(actor for some in actors for actor in some or ()).most_common())
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):  # a damaged dataset says nothing
        return None


def _prediction_counts(settings: Settings, task: str, version: str) -> dict[str, int] | None:
    made = (PredictionRow.task == task, PredictionRow.version == version)
    counts = select(PredictionRow.role, func.count()).where(*made).group_by(PredictionRow.role)

    def ask(connection: Connection) -> dict[str, int]:
        return dict(connection.execute(counts).tuples().all())

    catalog = Catalog(settings.catalog_url)
    try:
        return catalog.query(ask)
    except Unavailable:
        return None
    finally:
        catalog.close()
