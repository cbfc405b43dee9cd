"""`/models`: which versions there are, which of them serve, and where each comes from."""

from collections.abc import Sequence
from urllib.parse import urlencode

from nicegui import ui

from app.errors import SetupError
from app.kafka.transient_errors import AWAY
from app.pages import layout
from app.pages.confirmation import Answers, Confirm
from app.pages.elements import Node, button, heads, tabs
from app.pages.registry import route_changes
from app.pages.registry.lineage import whence
from app.registry.registry import Models
from app.registry.responses import VersionDescribed, described
from app.registry.runs import STEPS, Run
from app.services.services import Parts

HERE = "/models"
_SECONDS = 1.0
_MOST_RUNS = 20
_MOST_FIGURES = 3


def register(parts: Parts) -> None:
    """Add the page."""

    @ui.page(HERE)
    async def models(task: str = "", version: str = "") -> None:
        name = task if task in parts.tasks else next(iter(parts.tasks))
        with layout.page("Models", HERE):
            with Node("div", style="bar"):
                Node("h1", "Models")
                tabs("Tasks", {one: f"{HERE}?{urlencode({'task': one})}" for one in parts.tasks}, name)
                viewer = layout.Viewer()
            place = Node("div", style="stack")
            shown = _Shown(parts, name, viewer)
        shown.look()
        if version:
            with place:
                await whence(parts, name, version, f"{HERE}?{urlencode({'task': name})}")
        ui.timer(_SECONDS, shown.look)


class _Shown:
    """A task's route, versions and runs, made anew when they have changed."""

    def __init__(self, parts: Parts, task: str, viewer: layout.Viewer) -> None:
        self._parts = parts
        self._task = task
        self._viewer = viewer
        self._seen: object = None
        self._confirm = Confirm()
        self._may = layout.may("operate")
        self._trouble = Node("p", style="note bad", role="alert").show(False)
        with Node("section", style="panel stack", aria_label="Versions"):
            self._head = Node("div", style="bar")
            self._versions = Node("div", style="scroll")
        with Node("section", style="panel stack", aria_label="Runs"):
            Node("h2", "Retraining")
            self._runs = Node("div", style="scroll")

    def look(self) -> None:
        """Show it as it is now, or why it can't be seen."""
        try:
            self._show(self._parts.controller.models[self._task])
        except AWAY as error:
            self._trouble.say(f"That can't be seen now: {error}. It is tried again.").show(True)
        except SetupError as error:
            self._trouble.say(error.in_a_line).show(True)
        else:
            self._trouble.show(False)

    def _show(self, models: Models) -> None:
        said = described(models)
        runs = list(reversed(models.runs.values()))[:_MOST_RUNS]
        doing = dict(self._parts.controller.backend.progress)
        seen = (said, [(run.id, run.step) for run in runs], doing)
        if seen == self._seen:
            return
        self._seen = seen
        for place in (self._head, self._versions, self._runs):
            place.clear()
        with self._head:
            Node("h2", _route(models))
            if models.frozen is not None:
                Node("span", f"frozen: {models.frozen.reason} ({models.frozen.actor})", "warn small")
            if self._may:
                self._offer(models, route_changes.of_task(models), "plain push")
        with self._versions, Node("table", style="list"):
            heads("Version", "Role", "Parent", "By", "Measured", "")
            with Node("tbody"):
                for one in reversed(said.versions):
                    self._version(models, one)
        with self._runs:
            self._list(runs, doing)

    def _version(self, models: Models, one: VersionDescribed) -> None:
        share = f" {models.route.share:.0%}" if one.role == "canary" else ""
        figures = [f"{name} {value:.4g}" for name, value in one.figures.items() if isinstance(value, float)]
        with Node("tr", data_version=one.version):
            with Node("td"):
                Node(
                    "a",
                    f"Version {one.version}",
                    href=f"{HERE}?{urlencode({'task': self._task, 'version': one.version})}",
                )
            Node("td", f"{one.role}{share}" if one.role else "", "good" if one.role == "champion" else "")
            Node("td", f"from version {one.parent}" if one.parent else "")
            Node("td", one.actor or "comes with the task")
            Node("td", ", ".join(figures[:_MOST_FIGURES]), "muted small")
            with Node("td"), Node("div", style="bar"):
                for change in route_changes.of_version(models, one.version) if self._may else ():
                    self._offer(models, change, "danger" if change.kind == "rollback" else "")

    def _offer(self, models: Models, change: route_changes.Change, style: str) -> None:
        task = models.task

        async def do(answers: Answers) -> str:
            return await route_changes.make(self._parts, task, change, answers, self._viewer.name)

        button(
            change.title,
            lambda: self._confirm.ask(change.title, change.text, do, change.choices),
            style,
            data_change=change.kind,
        )

    def _list(self, runs: Sequence[Run], doing: dict[str, dict[str, object]]) -> None:
        if not runs:
            with Node("div", style="empty"):
                Node("strong", "No run yet")
                Node(
                    "span",
                    f"A trigger begins one: `hindsight retrain {self._task} --explain` says what is missing.",
                )
            return
        with Node("table", style="list"):
            heads("Began", "Trigger", "From", "Now", "Candidate", "Why")
            with Node("tbody"):
                for run in runs:
                    _run(run, doing.get(run.id, {}), self._parts.controller.decisions.get(run.id, ""))


def _route(models: Models) -> str:
    route = models.route
    said = f"Version {route.champion} answers"
    if route.canary is not None:
        said += f"; version {route.canary} {route.share:.0%} of the keys"
    if route.shadows:
        said += f"; in the shadow {', '.join(route.shadows)}"
    return said


def _run(run: Run, doing: dict[str, object], decision: str) -> None:
    ended = run.ended
    now = ended.outcome if ended else f"{run.step}, {STEPS.index(run.step or STEPS[-1]) + 1} of {len(STEPS)}"
    if ended is None and doing.get("doing") and doing.get("of"):
        now += f": {doing['doing']} {doing['done']} of {doing['of']}"
    with Node("tr", data_run=run.id):
        Node("td", f"{run.time:%Y-%m-%d %H:%M} UTC")
        Node("td", run.triggered.trigger)
        Node("td", f"version {run.triggered.champion}")
        Node("td", now, {"promoted": "good", "failed": "bad", "rolled_back": "warn"}.get(now, ""))
        Node("td", f"version {run.registered.model.version}" if run.registered else "")
        Node("td", (ended.reason if ended else decision) or "", "muted small")
