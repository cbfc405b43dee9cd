"""`/`: how every task does now."""

from collections.abc import Sequence

from nicegui import ui

from app.pages import layout
from app.pages.elements import Node
from app.pages.overview.formatting import NOT_ANSWERING, drift, expected, held, interval, rate, spark, waiting
from app.pages.overview.poller import FAST_SECONDS, Overview, Seen, Watch
from app.registry.routes import Route
from app.services.services import Parts

_BEHIND = 1000
"""Answers that are not recorded yet of which it is said."""
TRIGGERS = ("quality", "drift", "latency", "alert")
"""Those that say that something is wrong, not that it is time."""


def register(parts: Parts) -> None:
    """Add the page."""
    watch = Watch(parts)

    @ui.page("/")
    async def overview() -> None:
        found = await watch.overview()
        with layout.page("Overview", "/"):
            with Node("div", style="bar"):
                Node("h1", "Overview")
                health = _Health()
            trouble = Node("p", style="note bad", role="alert")
            restarts = _Lines("note bad small", "Processes that were started again")
            with Node("section", style="panel tasks", aria_label="Tasks"):
                with Node("div", style="task heads"):
                    for head in ("Task", "Answers", "Latency", "Score of the champion", "Drift, dead letters"):
                        Node("h3", head)
                rows = [_Row(name) for name in found.tasks]

        def show(now: Overview) -> None:
            trouble.say(f"Nothing new can be seen: {now.trouble}. It is tried again.").show(bool(now.trouble))
            health.show(now)
            restarts.show(now.restarts)
            for row in rows:
                row.show(now.tasks[row.task])

        async def again() -> None:
            show(await watch.overview())

        show(found)
        ui.timer(FAST_SECONDS / 2, again)


class _Lines:
    """A list that is there while there is something in it."""

    def __init__(self, style: str, label: str) -> None:
        self._list = Node("ul", style=style, aria_label=label).show(False)
        self._shown: tuple[str, ...] = ()

    def show(self, lines: Sequence[str]) -> None:
        """These lines; only a change is sent to the browser."""
        if tuple(lines) != self._shown:
            self._shown = tuple(lines)
            self._list.clear()
            with self._list:
                for line in lines:
                    Node("li", line)
            self._list.show(bool(lines))


class _Health:
    """The parts of the platform."""

    def __init__(self) -> None:
        self._list = Node("ul", style="parts push", aria_label="Parts of the platform")
        self._parts: dict[str, tuple[Node, Node]] = {}

    def show(self, now: Overview) -> None:
        """Each part, and what is wrong with it."""
        for name, part in now.health.parts.items() if now.health else ():
            if name not in self._parts:
                with self._list, Node("li"):
                    self._parts[name] = Node("span", style="dot"), Node("span")
            dot, text = self._parts[name]
            dot.put("class", "dot" if part.ready else "dot bad")
            text.say(name if part.ready else f"{name}: {part.detail}")


class _Row:
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
                self._spark = ui.html("", sanitize=False)
                self._waiting = Node("p", style="muted small")
            with Node("div"):
                self._p50 = Node("p", style="figure")
                self._p99 = Node("p", style="muted small")
                self._behind = Node("p", style="warn small")
            with Node("div"):
                self._score = Node("p", style="figure")
                self._interval = Node("p", style="muted small")
                self._expected = Node("p", style="muted small")
            with Node("div", style="small"):
                self._drift = Node("p", style="muted")
                self._letters = Node("p")
            self._alerts = _Lines("alerts warn small", "Alerts")
            self._held = Node("p", style="alerts bad", role="alert")

    def show(self, seen: Seen) -> None:
        """It as it is now."""
        self._rate.say(rate(seen)).put("class", "figure bad" if rate(seen) == NOT_ANSWERING else "figure")
        self._waiting.say(waiting(seen))
        self._held.say(held(seen)).show(bool(held(seen)))
        self._spark.set_content(spark(seen.counts))
        if seen.models is None:
            self._route.say("who serves is not known yet")
            return
        if not seen.models.versions:
            self._route.say("no model yet: register a version with `hindsight models register`")
            return
        self._route.say(_route(seen.models.route) + (" · frozen" if seen.models.frozen else ""))
        run = seen.models.run
        self._run.say("" if run is None else f"retraining: {run.step}")
        self._p50.say("–" if seen.p50_ms is None else f"{seen.p50_ms:,.0f} ms")
        self._p99.say("none in 5 min" if seen.p99_ms is None else f"p99 {seen.p99_ms:,.0f} ms, of 5 min")
        self._behind.say(f"{seen.behind:,} answers not recorded yet" if seen.behind >= _BEHIND else "")
        self._score.say("–" if seen.quality is None or seen.quality.score is None else f"{seen.quality.score:.3f}")
        self._interval.say(interval(seen.quality))
        self._expected.say(expected(seen.expected))
        self._drift.say(drift(seen.drift))
        self._letters.say(f"{seen.dead_letters:,} dead letters today" if seen.dead_letters else "")
        self._alerts.show([f"{one.trigger}: {one.sees}" for one in seen.triggers if _alerts(one)])


def _alerts(trigger: object) -> bool:
    return getattr(trigger, "fires", False) and getattr(trigger, "trigger", "") in TRIGGERS


def _route(route: Route) -> str:
    said = [f"version {route.champion}"]
    if route.canary is not None:
        said.append(f"canary {route.canary} ({route.share:.0%})")
    if route.shadows:
        said.append(f"shadow {', '.join(route.shadows)}")
    return " · ".join(said)
