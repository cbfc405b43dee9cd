"""`/models`: the versions of a task, their routes, retraining runs and lineage."""

from collections.abc import Sequence
from urllib.parse import urlencode

from nicegui import ui

from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.outcomes.audit import first_gate
from app.pages import layout
from app.pages.confirmation import ConfirmationDialog, FieldValues
from app.pages.elements import Node, Prose, button, table_header, tabs
from app.pages.registry import comparison, route_changes
from app.pages.registry.lineage import render_lineage
from app.registry.registry import TaskModels
from app.registry.responses import VersionResponse, describe_models
from app.registry.runs import STEPS, Run
from app.services.services import Services

PATH = "/models"
_POLL_SECONDS = 1.0
_MAX_RUNS = 20
_MAX_FIGURES = 3


def register(services: Services) -> None:
    """Add the page."""

    @ui.page(PATH)
    async def models(task: str = "", version: str = "") -> None:
        name = task if task in services.tasks else next(iter(services.tasks))
        with layout.page("Models", PATH):
            with Node("div", style="bar"):
                Node("h1", "Models")
                tabs("Tasks", {known: f"{PATH}?{urlencode({'task': known})}" for known in services.tasks}, name)
                viewer = layout.Viewer()
            lineage_panel = Node("div", style="stack")
            view = _RegistryView(services, name, viewer)
        view.refresh()
        if version:
            with lineage_panel:
                await render_lineage(services, name, version, f"{PATH}?{urlencode({'task': name})}")
        ui.timer(_POLL_SECONDS, view.refresh)


class _RegistryView:
    """A task's route, versions and runs, rendered again when they change."""

    def __init__(self, services: Services, task: str, viewer: layout.Viewer) -> None:
        self._services = services
        self._task = task
        self._viewer = viewer
        self._last_rendered: object = None
        self._dialog = ConfirmationDialog()
        self._can_operate = layout.viewer_has_scope("operate")
        self._error = Prose("p", style="note bad", role="alert").set_shown(False)
        with Node("section", style="panel stack", aria_label="Versions"):
            self._header = Node("div", style="bar")
            self._versions = Node("div", style="scroll")
        with Node("section", style="panel stack", aria_label="Runs"):
            Node("h2", "Retraining")
            self._runs = Node("div", style="scroll")

    def refresh(self) -> None:
        """Show the current state, or why it is not known."""
        try:
            self._render(self._services.controller.models[self._task])
        except TRANSIENT_ERRORS as error:
            self._error.set_text(f"The registry can't be read now: {error}. Retrying.").set_shown(True)
        except SetupError as error:
            self._error.set_text(error.one_line).set_shown(True)
        else:
            self._error.set_shown(False)

    def _render(self, models: TaskModels) -> None:
        response = describe_models(models)
        runs = list(reversed(models.runs.values()))[:_MAX_RUNS]
        progress = dict(self._services.controller.backend.progress)
        state = (response, [(run.id, run.step) for run in runs], progress)
        if state == self._last_rendered:
            return
        self._last_rendered = state
        for panel in (self._header, self._versions, self._runs):
            panel.clear()
        with self._header:
            Node("h2", _describe_route(models))
            if models.frozen is not None:
                Node("span", f"frozen: {models.frozen.reason} ({models.frozen.actor})", "warn small")
            if self._can_operate:
                self._render_change(models, route_changes.freeze_option(models), "plain push")
        with self._versions, Node("table", style="list"):
            table_header("Version", "Role", "Parent", "Registered by", "Metrics", "")
            with Node("tbody"):
                for version in reversed(response.versions):
                    self._render_version(models, version)
        with self._runs:
            Node("p", self._describe_evidence(), "muted small")
            self._render_runs(runs, progress)

    def _describe_evidence(self) -> str:
        """Return how much evidence a candidate needs before it can pass the gate."""
        settings = self._services.settings.for_task(self._task)
        min_outcomes = settings.retraining.gate.min_outcomes
        rate = 1.0 if settings.full_feedback else settings.audit_rate
        return f"The gate needs {min_outcomes} held-out outcomes. {first_gate(min_outcomes, rate)}"

    def _render_version(self, models: TaskModels, version: VersionResponse) -> None:
        share = f" {models.route.canary_share:.0%}" if version.role == "canary" else ""
        figures = [f"{name} {value:.4g}" for name, value in version.figures.items() if isinstance(value, float)]
        with Node("tr", data_version=version.version):
            with Node("td"):
                Node(
                    "a",
                    f"Version {version.version}",
                    href=f"{PATH}?{urlencode({'task': self._task, 'version': version.version})}",
                )
            Node("td", f"{version.role}{share}" if version.role else "", "good" if version.role == "champion" else "")
            Node("td", f"version {version.parent}" if version.parent else "")
            Node("td", version.actor or "shipped with the task")
            Node("td", ", ".join(figures[:_MAX_FIGURES]), "muted small")
            with Node("td"), Node("div", style="bar"):
                for change in route_changes.options_for_version(models, version.version) if self._can_operate else ():
                    self._render_change(models, change, "danger" if change.kind == "rollback" else "")

    def _render_change(self, models: TaskModels, change: route_changes.ChangeOption, style: str) -> None:
        task = models.task

        async def apply(values: FieldValues) -> str:
            return await route_changes.apply_change(self._services, task, change, values, self._viewer.name)

        button(
            change.title,
            lambda: self._dialog.ask(change.title, change.text, apply, change.choices),
            style,
            data_change=change.kind,
        )

    def _render_runs(self, runs: Sequence[Run], progress: dict[str, dict[str, object]]) -> None:
        if not runs:
            with Node("div", style="empty"):
                Node("strong", "No runs yet")
                Prose("span", f"Triggers start runs. `hindsight retrain {self._task} --explain` shows their state.")
            return
        with Node("table", style="list"):
            table_header("Started", "Trigger", "From", "State", "Candidate", "Reason")
            with Node("tbody"):
                for run in runs:
                    _render_run(run, progress.get(run.id, {}), self._services.controller.decisions.get(run.id, ""))


def _describe_route(models: TaskModels) -> str:
    route = models.route
    description = f"Version {route.champion} answers"
    if route.canary is not None:
        description += f"; canary {route.canary} answers {route.canary_share:.0%} of the keys"
    if route.shadows:
        description += f"; shadow {', '.join(route.shadows)}"
    return description


def _render_run(run: Run, progress: dict[str, object], decision: str) -> None:
    ended = run.ended
    state = ended.outcome if ended else f"{run.step}, {STEPS.index(run.step or STEPS[-1]) + 1} of {len(STEPS)}"
    if ended is None and progress.get("doing") and progress.get("of"):
        state += f": {progress['doing']} {progress['done']} of {progress['of']}"
    with Node("tr", data_run=run.id):
        Node("td", f"{run.time:%Y-%m-%d %H:%M} UTC")
        Node("td", run.triggered.trigger)
        Node("td", f"version {run.triggered.champion}")
        Node("td", state, {"promoted": "good", "failed": "bad", "rolled_back": "warn"}.get(state, ""))
        with Node("td"):
            if run.compared is not None:
                Node("a", comparison.candidate_name(run), href=comparison.url(run.task, run.id))
        Node("td", (ended.reason if ended else decision) or "", "muted small")
