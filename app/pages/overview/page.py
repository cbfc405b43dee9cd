"""`/`: the current state of every task."""

from collections.abc import Sequence

from nicegui import ui

from app.pages import layout
from app.pages.elements import Node, Prose
from app.pages.overview.formatting import (
    NOT_ANSWERING,
    format_blocker,
    format_drift,
    format_expected_quality,
    format_interval,
    format_rate,
    format_score,
    format_waiting,
    sparkline_svg,
)
from app.pages.overview.latest import LATEST_SECONDS, LatestAnswers, LatestPanel
from app.pages.overview.poller import FAST_INTERVAL_SECONDS, Overview, OverviewPoller, TaskOverview
from app.registry.routes import Route
from app.services.services import Services

_MIN_UNRECORDED = 1000
"""Minimum number of unrecorded answers that is shown."""
ALARM_TRIGGERS = ("quality", "drift", "latency", "alert")
"""Triggers that report a problem; others report that it is time to retrain."""


def register(services: Services) -> None:
    """Add the page."""
    poller, latest_answers = OverviewPoller(services), LatestAnswers(services)

    @ui.page("/")
    async def overview() -> None:
        initial = await poller.overview()
        with layout.page("Overview", "/"):
            with Node("div", style="bar"):
                Node("h1", "Overview")
                health = _HealthPanel()
            error = Node("p", style="note bad", role="alert")
            restarts = _OptionalList("note bad small", "Restarted processes")
            with Node("section", style="panel tasks", aria_label="Tasks"):
                with Node("div", style="task heads"):
                    for heading in ("Task", "Answers", "Latency", "Champion's score", "Drift, dead letters"):
                        Node("h3", heading)
                rows = [_TaskRow(name) for name in initial.tasks]
            latest = LatestPanel(latest_answers)

        def show(current: Overview) -> None:
            error.set_text(f"No new data: {current.error}. Retrying.").set_shown(bool(current.error))
            health.show(current)
            restarts.show(current.restarts)
            for row in rows:
                row.show(current.tasks[row.task])

        async def refresh() -> None:
            show(await poller.overview())

        show(initial)
        ui.timer(FAST_INTERVAL_SECONDS / 2, refresh)
        ui.timer(LATEST_SECONDS, latest.refresh)


class _OptionalList:
    """A list that is hidden while it is empty."""

    def __init__(self, style: str, label: str) -> None:
        self._list = Node("ul", style=style, aria_label=label).set_shown(False)
        self._last_lines: tuple[str, ...] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Show these lines; only a change is sent to the browser."""
        if tuple(lines) != self._last_lines:
            self._last_lines = tuple(lines)
            self._list.clear()
            with self._list:
                for line in lines:
                    Node("li", line)
            self._list.set_shown(bool(lines))


class _HealthPanel:
    """The readiness of the platform's parts."""

    def __init__(self) -> None:
        self._list = Node("ul", style="parts push", aria_label="Parts of the platform")
        self._items: dict[str, tuple[Node, Node]] = {}

    def show(self, overview: Overview) -> None:
        """Show each part with its problem, if it has one."""
        for name, part in overview.health.parts.items() if overview.health else ():
            if name not in self._items:
                with self._list, Node("li"):
                    self._items[name] = Node("span", style="dot"), Node("span")
            dot, text = self._items[name]
            dot.set_attribute("class", "dot" if part.ready else "dot bad")
            text.set_text(name if part.ready else f"{name}: {part.detail}")


class _TaskRow:
    """The row of a task."""

    def __init__(self, task: str) -> None:
        self.task = task
        with Node("article", style="task", data_task=task):
            with Node("div"):
                Node("h2", task)
                self._route = Prose("p", style="small")
                self._run = Node("p", style="muted small")
            with Node("div"):
                self._rate = Node("p", style="figure", data_figure="rate")
                self._sparkline = ui.html("", sanitize=False)
                self._waiting = Node("p", style="muted small")
            with Node("div"):
                self._p50 = Node("p", style="figure")
                self._p99 = Node("p", style="muted small")
                self._unrecorded = Node("p", style="warn small")
            with Node("div"):
                self._score = Node("p", style="figure")
                self._interval = Node("p", style="muted small")
                self._expected = Node("p", style="muted small")
            with Node("div", style="small"):
                self._drift = Node("p", style="muted")
                self._dead_letters = Node("p")
            self._alerts = _OptionalList("alerts warn small", "Alerts")
            self._blocker = Node("p", style="alerts bad", role="alert")

    def show(self, task: TaskOverview) -> None:
        """Show the current state of the task."""
        rate, blocker, quality = format_rate(task), format_blocker(task), task.quality
        self._rate.set_text(rate).set_attribute("class", "figure bad" if rate == NOT_ANSWERING else "figure")
        self._waiting.set_text(format_waiting(task))
        self._blocker.set_text(blocker).set_shown(bool(blocker))
        self._sparkline.set_content(sparkline_svg(task.counts))
        if task.models is None:
            self._route.set_text("route not known yet")
            return
        if not task.models.versions:
            self._route.set_text("no model yet: register a version with `hindsight models register`")
            return
        self._route.set_text(_describe_route(task.models.route) + (" · frozen" if task.models.frozen else ""))
        run = task.models.active_run
        self._run.set_text("" if run is None else f"retraining: {run.step}")
        self._p50.set_text("–" if task.p50_ms is None else f"{task.p50_ms:,.0f} ms")
        self._p99.set_text("none in 5 min" if task.p99_ms is None else f"p99 {task.p99_ms:,.0f} ms in 5 min")
        self._unrecorded.set_text(
            f"{task.unrecorded:,} answers not recorded yet" if task.unrecorded >= _MIN_UNRECORDED else ""
        )
        self._score.set_text(format_score(quality))
        self._interval.set_text(format_interval(quality))
        self._expected.set_text(format_expected_quality(task.expected))
        self._drift.set_text(format_drift(task.drift))
        self._dead_letters.set_text(f"{task.dead_letters:,} dead letters today" if task.dead_letters else "")
        alarms = [trigger for trigger in task.triggers if trigger.fires and trigger.trigger in ALARM_TRIGGERS]
        self._alerts.show([f"{trigger.trigger}: {trigger.sees}" for trigger in alarms])


def _describe_route(route: Route) -> str:
    roles = [f"version {route.champion}"]
    if route.canary is not None:
        roles.append(f"canary {route.canary} ({route.canary_share:.0%})")
    if route.shadows:
        roles.append(f"shadow {', '.join(route.shadows)}")
    return " · ".join(roles)
