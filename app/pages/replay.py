"""`/replay`: datasets of the log, chosen by task and time, made beside what serves, and fetched."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments
from sqlalchemy import Connection, func, select

from app.catalog.orm import Outcome, Prediction
from app.errors import SetupError
from app.kafka.transient_errors import AWAY
from app.pages import layout
from app.pages.elements import Node, button, heads
from app.replay.jobs.job import Job
from app.replay.jobs.queue import Busy
from app.replay.query import Arguments
from app.services.services import Parts

HERE = "/replay"
_SECONDS = 1.0
_DAYS = 30
MOST_SHOWN = 30


def register(parts: Parts) -> None:
    """Add the page."""

    @ui.page(HERE)
    async def replay() -> None:
        with layout.page("Replay", HERE):
            Node("h1", "Replay")
            with Node("section", style="panel stack", aria_label="Choose"):
                Node(
                    "p",
                    "A dataset is the log's rows of a stretch of time, with the labels that are known now.",
                    "muted",
                )
                wanted = _Wanted(parts)
            with Node("section", style="panel stack", aria_label="Datasets"):
                Node("h2", "Datasets")
                made = _Made(parts)
        made.look()
        await wanted.count()
        ui.timer(_SECONDS, made.look)


class _Wanted:
    """What is chosen, and how much of the log that is."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        today = datetime.now(UTC).date()
        first = (today - timedelta(days=_DAYS)).isoformat()
        self._said = {"task": next(iter(parts.tasks)), "from": first, "to": (today + timedelta(days=1)).isoformat()}
        with Node("div", style="bar"):
            with Node("label", style="field"):
                Node("span", "Task", "muted small")
                with Node("select", data_field="task") as tasks:
                    for name in parts.tasks:
                        Node("option", name, value=name)
            self._listen(tasks, "task")
            self._date("from", "From")
            self._date("to", "Before")
        self._count = Node("p", role="status")
        with Node("div", style="bar"):
            if layout.may("operate"):
                button("Make the dataset", self._begin, "main", data_change="begin")
            else:
                Node("span", "To make one, log in with a key that has the scope operate.", "muted small")
        self._trouble = Node("p", style="note bad", role="alert").show(False)

    def _date(self, name: str, label: str) -> None:
        with Node("label", style="field"):
            Node("span", label, "muted small")
            self._listen(Node("input", type_="date", value=self._said[name], data_field=name), name)

    def _listen(self, field: Node, name: str) -> None:
        async def changed(event: GenericEventArguments) -> None:
            self._said[name] = str(event.args)
            await self.count()

        field.on("change", changed, js_handler="(event) => emit(event.target.value)")

    async def count(self) -> None:
        """Say how much of the log it is."""
        task = self._said["task"]
        try:
            since, until = (_moment(self._said[name]) for name in ("from", "to"))
            made, labelled = await asyncio.to_thread(
                self._parts.catalog.ask, lambda connection: counts(connection, task, since, until)
            )
        except ValueError:
            self._count.say("Choose two dates.")
        except AWAY as error:
            self._count.say(f"How much that is can't be seen now: {error}.")
        else:
            self._count.say(f"{made:,} served predictions, of {labelled:,} of which something was said.")

    async def _begin(self) -> None:
        self._trouble.show(False)
        try:
            asked = {"since": self._said["from"], "until": self._said["to"]}
            arguments = Arguments.of(self._parts.settings, self._said["task"], **asked)
            await asyncio.to_thread(self._parts.replays.begin, arguments)
        except SetupError as error:
            self._trouble.say(error.in_a_line).show(True)
        except (Busy, OSError) as error:
            self._trouble.say(f"It can't be begun: {error}.").show(True)


def _moment(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(), UTC)


def counts(connection: Connection, task: str, since: datetime, until: datetime) -> tuple[int, int]:
    """Served predictions of a stretch of time, and those of them that have an outcome."""
    within = (Prediction.task == task, Prediction.time >= since, Prediction.time < until, Prediction.role != "shadow")
    joined = (
        select(func.count()).select_from(Prediction).join(Outcome, Outcome.prediction_id == Prediction.prediction_id)
    )
    made = connection.scalar(select(func.count()).where(*within)) or 0
    return made, connection.scalar(joined.where(*within)) or 0


class _Made:
    """The datasets that were made here, and are being made."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seen: object = None
        self._may = layout.may("operate")
        self._place = Node("div", style="scroll")

    def look(self) -> None:
        """Show them as they are now."""
        jobs, doing = self._parts.replays.all()[:MOST_SHOWN], dict(self._parts.replays.progress)
        if (seen := (jobs, doing)) == self._seen:
            return
        self._seen = seen
        self._place.clear()
        with self._place:
            self._list(jobs, doing)

    def _list(self, jobs: Sequence[Job], doing: dict[str, dict[str, Any]]) -> None:
        if not jobs:
            with Node("div", style="empty"):
                Node("strong", "No dataset yet")
                Node("span", "Choose a task and a time above. `hindsight replay` makes the same ones.")
            return
        with Node("table", style="list"):
            heads("Task", "Of", "State", "Rows", "Content hash", "")
            with Node("tbody"):
                for job in jobs:
                    self._job(job, doing.get(job.id, {}))

    def _job(self, job: Job, doing: dict[str, Any]) -> None:
        manifest = (self._parts.replays.folder(job.id).manifest() or {}) if job.state == "done" else {}
        state = job.state + (f": {job.reason}" if job.reason else "")
        if doing:
            state += f": {doing['doing']} {doing['done']:,}" + (f" of {doing['of']:,}" if doing.get("of") else "")
        with Node("tr", data_replay=job.id):
            Node("td", job.task)
            Node("td", " to ".join(f"{one:%Y-%m-%d}" if one else "…" for one in (job.since, job.until)))
            Node("td", state, "bad" if job.state == "failed" else "")
            splits = ", ".join(f"{name} {count:,}" for name, count in manifest.get("splits", {}).items())
            Node("td", f"{manifest['rows']:,} ({splits})" if manifest else "")
            Node("td", str(manifest.get("content_hash", ""))[:16], "mono small")
            with Node("td"), Node("div", style="bar"):
                if job.state == "done":
                    Node("a", "Download", "button", href=f"/v1/replays/{job.id}/download")
                if self._may and job.state != "gone":
                    button("Remove", lambda: self._parts.replays.remove(job.id), "danger", data_change="remove")
