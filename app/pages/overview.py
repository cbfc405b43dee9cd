"""`/`: how every task does now."""

from collections.abc import Sequence
from math import isfinite

from nicegui import ui

from app.monitoring.drift import Finding
from app.monitoring.quality import Quality
from app.monitoring.unlabelled import Expected
from app.pages import frame
from app.pages.elements import Node
from app.pages.parts import Parts
from app.pages.watching import FAST_SECONDS, Overview, Seen, Watch
from app.registry.routes import Route

_HEIGHT = 28
_BEHIND = 1000
"""Answers that are not recorded yet of which it is said."""
_FEWEST = 10
"""Judged predictions of which an interval means anything."""
TRIGGERS = ("quality", "drift", "latency", "alert")
"""Those that say that something is wrong, not that it is time."""


def register(parts: Parts) -> None:
    """Add the page."""
    watch = Watch(parts)

    @ui.page("/")
    async def overview() -> None:
        found = await watch.overview()
        with frame.page("Overview", "/"):
            with Node("div", style="bar"):
                Node("h1", "Overview")
                health = _Health()
            trouble = Node("p", style="note bad", role="alert")
            with Node("section", style="panel tasks", aria_label="Tasks"):
                with Node("div", style="task heads"):
                    for head in ("Task", "Answers", "Latency", "Score of the champion", "Drift, dead letters"):
                        Node("h3", head)
                rows = [_Row(name) for name in found.tasks]

        def show(now: Overview) -> None:
            trouble.say(f"Nothing new can be seen: {now.trouble}. It is tried again.").show(bool(now.trouble))
            health.show(now)
            for row in rows:
                row.show(now.tasks[row.task])

        async def again() -> None:
            show(await watch.overview())

        show(found)
        ui.timer(FAST_SECONDS / 2, again)


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
            self._alerts = Node("ul", style="alerts warn small")
        self._said: tuple[str, ...] = ()

    def show(self, seen: Seen) -> None:
        """It as it is now."""
        if seen.models is None or not seen.models.versions:
            self._route.say("no model yet: register a version with `hindsight models register`")
            return
        self._route.say(_route(seen.models.route) + (" · frozen" if seen.models.frozen else ""))
        run = seen.models.run
        self._run.say("" if run is None else f"retraining: {run.step}")
        rate = seen.per_second
        self._rate.say(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate else "no requests")
        self._spark.set_content(spark(seen.counts))
        self._p50.say("–" if seen.p50_ms is None else f"{seen.p50_ms:,.0f} ms")
        self._p99.say("no answers yet" if seen.p99_ms is None else f"p99 {seen.p99_ms:,.0f} ms")
        self._behind.say(f"{seen.behind:,} answers not recorded yet" if seen.behind >= _BEHIND else "")
        self._score.say("–" if seen.quality is None or seen.quality.score is None else f"{seen.quality.score:.3f}")
        self._interval.say(interval(seen.quality))
        self._expected.say(expected(seen.expected))
        self._drift.say(drift(seen.drift))
        self._letters.say(f"{seen.dead_letters:,} dead letters today" if seen.dead_letters else "")
        self._alert(tuple(f"{one.trigger}: {one.sees}" for one in seen.triggers if _alerts(one)))

    def _alert(self, said: tuple[str, ...]) -> None:
        if said != self._said:
            self._said = said
            self._alerts.clear()
            with self._alerts:
                for one in said:
                    Node("li", one)


def _alerts(trigger: object) -> bool:
    return getattr(trigger, "fires", False) and getattr(trigger, "trigger", "") in TRIGGERS


def _route(route: Route) -> str:
    said = [f"version {route.champion}"]
    if route.canary is not None:
        said.append(f"canary {route.canary} ({route.share:.0%})")
    if route.shadows:
        said.append(f"shadow {', '.join(route.shadows)}")
    return " · ".join(said)


def interval(found: Quality | None) -> str:
    """The score's interval, or what is missing for one."""
    if found is None:
        return "not looked at yet"
    if found.labelled < _FEWEST:
        return f"{found.labelled} of the audit judged: too few"
    low, high = found.interval()
    if not (isfinite(low) and isfinite(high)):
        return f"{found.labelled:,} judged, whose weights are too unequal"
    return f"{low:.3f} to {high:.3f} · {found.labelled:,} judged"


def expected(found: Expected | None) -> str:
    """What is expected of predictions whose labels are late, and how far off that was."""
    if found is None:
        return ""
    off = "" if found.error is None else f", off by {found.error:.3f} before"
    return f"expected now {found.score:.3f}{off}"


def drift(found: Sequence[Finding] | None) -> str:
    """Which numbers have drifted."""
    if not found:
        return "drift: no whole window yet"
    names = [one.feature for one in found if one.drifted]
    return f"drift of {', '.join(names)}" if names else f"no drift in {len(found)} numbers"


def spark(counts: tuple[int, ...]) -> str:
    """The counts as bars of SVG; numbers alone go into it."""
    most = max(counts, default=0) or 1
    bars = "".join(
        f'<rect x="{place * 3}" y="{_HEIGHT - height}" width="2" height="{height}"/>'
        for place, count in enumerate(counts)
        if (height := max(1, round(count / most * _HEIGHT)) if count else 0)
    )
    return f'<svg class="spark" viewBox="0 0 {len(counts) * 3} {_HEIGHT}" preserveAspectRatio="none">{bars}</svg>'
