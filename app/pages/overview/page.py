"""`/`: how every task does now."""

from collections.abc import Sequence

from nicegui import ui

from app.pages import layout
from app.pages.elements import Node
from app.pages.overview.formatting import (
    NOT_ANSWERING,
    format_blocker,
    format_drift,
    format_expected_quality,
    format_interval,
    format_rate,
    format_waiting,
    sparkline_svg,
)
from app.pages.overview.poller import FAST_INTERVAL_SECONDS, Overview, OverviewPoller, TaskOverview
from app.registry.routes import Route
from app.services.services import Services

_MIN_UNRECORDED = 1000
"""Answers that are not recorded yet of which it is said."""
ALARM_TRIGGERS = ("quality", "drift", "latency", "alert")
"""Those that say that something is wrong, not that it is time."""


def register(services: Services) -> None:
    """Add the page."""
    watch = OverviewPoller(services)

    @ui.page("/")
    async def overview() -> None:
        found = await watch.overview()
        with layout.page("Overview", "/"):
            with Node("div", style="bar"):
                Node("h1", "Overview")
                health = _HealthPanel()
            trouble = Node("p", style="note bad", role="alert")
            restarts = _OptionalList("note bad small", "Processes that were started again")
            with Node("section", style="panel tasks", aria_label="Tasks"):
                with Node("div", style="task heads"):
                    for head in ("Task", "Answers", "Latency", "Score of the champion", "Drift, dead letters"):
                        Node("h3", head)
                rows = [_TaskRow(name) for name in found.tasks]

        def show(now: Overview) -> None:
            trouble.set_text(f"Nothing new can be seen: {now.error}. It is tried again.").set_shown(bool(now.error))
            health.show(now)
            restarts.show(now.restarts)
            for row in rows:
                row.show(now.tasks[row.task])

        async def again() -> None:
            show(await watch.overview())

        show(found)
        ui.timer(FAST_INTERVAL_SECONDS / 2, again)


class _OptionalList:
    """A list that is there while there is something in it."""

    def __init__(self, style: str, label: str) -> None:
        self._list = Node("ul", style=style, aria_label=label).set_shown(False)
        self._last_lines: tuple[str, ...] = ()

    def show(self, lines: Sequence[str]) -> None:
        """These lines; only a change is sent to the browser."""
        if tuple(lines) != self._last_lines:
            self._last_lines = tuple(lines)
            self._list.clear()
            with self._list:
                for line in lines:
                    Node("li", line)
            self._list.set_shown(bool(lines))


class _HealthPanel:
    """The parts of the platform."""

    def __init__(self) -> None:
        self._list = Node("ul", style="parts push", aria_label="Parts of the platform")
        self._items: dict[str, tuple[Node, Node]] = {}

    def show(self, now: Overview) -> None:
        """Each part, and what is wrong with it."""
        for name, part in now.health.parts.items() if now.health else ():
            if name not in self._items:
                with self._list, Node("li"):
                    self._items[name] = Node("span", style="dot"), Node("span")
            dot, text = self._items[name]
            dot.set_attribute("class", "dot" if part.ready else "dot bad")
            text.set_text(name if part.ready else f"{name}: {part.detail}")


class _TaskRow:
    """One task."""

    def __init__(self, task: str) -> None:
        self.task = task
        with Node("article", style="task", data_task=task):
            with Node("div"):
                Node("h2", task)
                self._route = Node("p", style="small")
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

    def show(self, seen: TaskOverview) -> None:
        """It as it is now."""
        self._rate.set_text(format_rate(seen)).set_attribute(
            "class", "figure bad" if format_rate(seen) == NOT_ANSWERING else "figure"
        )
        self._waiting.set_text(format_waiting(seen))
        self._blocker.set_text(format_blocker(seen)).set_shown(bool(format_blocker(seen)))
        self._sparkline.set_content(sparkline_svg(seen.counts))
        if seen.models is None:
            self._route.set_text("who serves is not known yet")
            return
        if not seen.models.versions:
            self._route.set_text("no model yet: register a version with `hindsight models register`")
            return
        self._route.set_text(_describe_route(seen.models.route) + (" · frozen" if seen.models.frozen else ""))
        run = seen.models.active_run
        self._run.set_text("" if run is None else f"retraining: {run.step}")
        self._p50.set_text("–" if seen.p50_ms is None else f"{seen.p50_ms:,.0f} ms")
        self._p99.set_text("none in 5 min" if seen.p99_ms is None else f"p99 {seen.p99_ms:,.0f} ms, of 5 min")
        self._unrecorded.set_text(
            f"{seen.unrecorded:,} answers not recorded yet" if seen.unrecorded >= _MIN_UNRECORDED else ""
        )
        self._score.set_text("–" if seen.quality is None or seen.quality.score is None else f"{seen.quality.score:.3f}")
        self._interval.set_text(format_interval(seen.quality))
        self._expected.set_text(format_expected_quality(seen.expected))
        self._drift.set_text(format_drift(seen.drift))
        self._dead_letters.set_text(f"{seen.dead_letters:,} dead letters today" if seen.dead_letters else "")
        self._alerts.show([f"{one.trigger}: {one.sees}" for one in seen.triggers if _is_alarm(one)])


def _is_alarm(trigger: object) -> bool:
    return getattr(trigger, "fires", False) and getattr(trigger, "trigger", "") in ALARM_TRIGGERS


def _describe_route(route: Route) -> str:
    said = [f"version {route.champion}"]
    if route.canary is not None:
        said.append(f"canary {route.canary} ({route.canary_share:.0%})")
    if route.shadows:
        said.append(f"shadow {', '.join(route.shadows)}")
    return " · ".join(said)
