"""`/replay`: build datasets from the log by task and time, and download them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments
from sqlalchemy import Connection, func, select

from app.catalog.orm import OutcomeRow, PredictionRow
from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages import layout
from app.pages.confirmation import ConfirmationDialog, FieldValues
from app.pages.elements import Node, Prose, button, table_header
from app.replay.jobs.queue import ReplayQueueFull
from app.replay.jobs.replay_job import ReplayJob
from app.replay.query import ReplayQuery
from app.services.services import Services

PATH = "/replay"
_POLL_SECONDS = 1.0
_DEFAULT_DAYS = 30
MAX_SHOWN = 30


def register(services: Services) -> None:
    """Add the page."""

    @ui.page(PATH)
    async def replay() -> None:
        with layout.page("Replay", PATH):
            Node("h1", "Replay")
            with Node("section", style="panel stack", aria_label="New dataset"):
                Node("p", "A dataset has the log's predictions of a period, with the labels known now.", "muted")
                form = _ReplayForm(services)
            with Node("section", style="panel stack", aria_label="Datasets"):
                Node("h2", "Datasets")
                datasets = _ReplayList(services)
        datasets.refresh()
        await form.update_count()
        ui.timer(_POLL_SECONDS, datasets.refresh)


class _ReplayForm:
    """The arguments of a new dataset, with the number of its predictions."""

    def __init__(self, services: Services) -> None:
        self._services = services
        today = datetime.now(UTC).date()
        self._values = {
            "task": next(iter(services.tasks)),
            "from": (today - timedelta(days=_DEFAULT_DAYS)).isoformat(),
            "to": (today + timedelta(days=1)).isoformat(),
        }
        with Node("div", style="bar"):
            with Node("label", style="field"):
                Node("span", "Task", "muted small")
                with Node("select", data_field="task") as tasks:
                    for name in services.tasks:
                        Node("option", name, value=name)
            self._bind_field(tasks, "task")
            self._add_date("from", "From")
            self._add_date("to", "Before")
        self._count_text = Node("p", role="status")
        with Node("div", style="bar"):
            if layout.viewer_has_scope("operate"):
                button("Create dataset", self._start_replay, "main", data_change="begin")
            else:
                Node("span", "To create one, log in with a key that has the scope operate.", "muted small")
        self._error = Prose("p", style="note bad", role="alert").set_shown(False)

    def _add_date(self, name: str, label: str) -> None:
        with Node("label", style="field"):
            Node("span", label, "muted small")
            self._bind_field(Node("input", type_="date", value=self._values[name], data_field=name), name)

    def _bind_field(self, field: Node, name: str) -> None:
        async def on_change(event: GenericEventArguments) -> None:
            self._values[name] = str(event.args)
            await self.update_count()

        field.on("change", on_change, js_handler="(event) => emit(event.target.value)")

    async def update_count(self) -> None:
        """Show the number of predictions in the period."""
        task = self._values["task"]
        try:
            since, until = (_parse_day(self._values[name]) for name in ("from", "to"))
            served, with_outcome = await asyncio.to_thread(
                self._services.catalog.query, lambda connection: count_rows(connection, task, since, until)
            )
        except ValueError:
            self._count_text.set_text("Choose two dates.")
        except TRANSIENT_ERRORS as error:
            self._count_text.set_text(f"The number of predictions can't be read now: {error}.")
        else:
            self._count_text.set_text(f"{served:,} served predictions, {with_outcome:,} with feedback.")

    async def _start_replay(self) -> None:
        self._error.set_shown(False)
        try:
            query = ReplayQuery.from_options(
                self._services.settings,
                self._values["task"],
                since=self._values["from"],
                until=self._values["to"],
            )
            await asyncio.to_thread(self._services.replays.submit, query)
        except SetupError as error:
            self._error.set_text(error.one_line).set_shown(True)
        except (ReplayQueueFull, OSError) as error:
            self._error.set_text(f"The dataset can't be created: {error}.").set_shown(True)


def _parse_day(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(), UTC)


def count_rows(connection: Connection, task: str, since: datetime, until: datetime) -> tuple[int, int]:
    """Return the number of served predictions in a period, and of those with feedback."""
    in_period = (
        PredictionRow.task == task,
        PredictionRow.time >= since,
        PredictionRow.time < until,
        PredictionRow.role != "shadow",
    )
    with_feedback = (
        select(func.count())
        .select_from(PredictionRow)
        .join(OutcomeRow, OutcomeRow.prediction_id == PredictionRow.prediction_id)
        .where(OutcomeRow.data["feedback"].as_integer() > 0)
    )
    served = connection.scalar(select(func.count()).where(*in_period)) or 0
    return served, connection.scalar(with_feedback.where(*in_period)) or 0


class _ReplayList:
    """The finished, running and waiting datasets."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._last_rendered: object = None
        self._can_operate = layout.viewer_has_scope("operate")
        self._dialog = ConfirmationDialog()
        self._panel = Node("div", style="scroll")

    def refresh(self) -> None:
        """Show the current state; only a change is sent to the browser."""
        jobs, progress = self._services.replays.list_jobs()[:MAX_SHOWN], dict(self._services.replays.progress)
        if (jobs, progress) == self._last_rendered:
            return
        self._last_rendered = (jobs, progress)
        self._panel.clear()
        with self._panel:
            self._render(jobs, progress)

    def _render(self, jobs: Sequence[ReplayJob], progress: dict[str, dict[str, Any]]) -> None:
        if not jobs:
            with Node("div", style="empty"):
                Node("strong", "No datasets yet")
                Prose("span", "Choose a task and a period above. `hindsight replay` creates the same datasets.")
            return
        with Node("table", style="list"):
            table_header("Task", "Period", "State", "Rows", "Content hash", "")
            with Node("tbody"):
                for job in jobs:
                    self._render_job(job, progress.get(job.id, {}))

    def _render_job(self, job: ReplayJob, progress: dict[str, Any]) -> None:
        manifest = (self._services.replays.directory(job.id).manifest() or {}) if job.state == "done" else {}
        state = job.state + (f": {job.reason}" if job.reason else "")
        if progress:
            total = f" of {progress['of']:,}" if progress.get("of") else ""
            state += f": {progress['doing']} {progress['done']:,}{total}"
        with Node("tr", data_replay=job.id):
            Node("td", job.task)
            Node("td", " to ".join(f"{day:%Y-%m-%d}" if day else "…" for day in (job.since, job.until)))
            Node("td", state, "bad" if job.state == "failed" else "")
            splits = ", ".join(f"{name} {count:,}" for name, count in manifest.get("splits", {}).items())
            Node("td", f"{manifest['rows']:,} ({splits})" if manifest else "")
            Node("td", str(manifest.get("content_hash", ""))[:16], "mono small")
            with Node("td"), Node("div", style="bar"):
                if job.state == "done":
                    Node("a", "Download", "button", href=f"/v1/replays/{job.id}/download")
                if self._can_operate and job.state != "gone":
                    button("Remove", lambda: self._ask_remove(job), "danger", data_change="remove")

    def _ask_remove(self, job: ReplayJob) -> None:
        async def remove(values: FieldValues) -> str:
            await self._services.replays.remove(job.id)
            return f"The dataset of {job.task} was removed."

        text = f"This deletes the rows of the dataset of {job.task}. The log stays: the dataset can be created again."
        self._dialog.ask("Remove", text, remove, needs_reason=False)
