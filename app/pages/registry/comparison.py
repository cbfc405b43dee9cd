"""`/models/comparison`: a candidate against its champion over time and by slice, as its retraining run stored it."""

from collections.abc import Sequence
from urllib.parse import urlencode

from nicegui import ui

from app.errors import SetupError
from app.events.comparison import ComparedPart, Comparison, Measured
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages import layout
from app.pages.elements import Node, Prose, table_header, tabs
from app.pages.registry.comparison_chart import value_chart
from app.registry.runs import Run, last_compared
from app.services.services import Services

PATH = "/models/comparison"
_MODELS = "/models"
_MAX_RUNS = 10
_UNITS = {"decision": "decisions", "slate": "slates", "episode": "episodes", "outcome": "outcomes"}
_EVIDENCE = {
    "off_policy": "By rewards, valued off policy ({estimator})",
    "outcomes": "By labels of the audit ({estimator})",
}


def url(task: str, run_id: str) -> str:
    """Return the page's address for a run."""
    return f"{PATH}?{urlencode({'task': task, 'run': run_id})}"


def candidate_name(run: Run) -> str:
    """Return the name of a run's candidate."""
    return f"version {run.registered.model.version}" if run.registered else "candidate"


def register(services: Services) -> None:
    """Add the page."""

    @ui.page(PATH)
    async def comparison(task: str = "", run: str = "") -> None:
        name = task if task in services.tasks else next(iter(services.tasks))
        with layout.page("Comparison", _MODELS):
            with Node("div", style="bar"):
                Node("h1", "Candidate against champion")
                tabs("Tasks", {known: f"{PATH}?{urlencode({'task': known})}" for known in services.tasks}, name)
            try:
                runs = services.controller.models[name].runs
            except TRANSIENT_ERRORS as error:
                Node("p", f"The registry can't be read now: {error}. Reload the page.", "note bad", role="alert")
                return
            except SetupError as error:
                Prose("p", error.one_line, "note bad", role="alert")
                return
            compared = [known for known in reversed(runs.values()) if known.compared is not None][:_MAX_RUNS]
            render_run(runs.get(run) if run else last_compared(runs), compared, name)


def render_run(run: Run | None, compared: Sequence[Run], task: str) -> None:
    """Show a run's comparisons, and links to the other runs of the task that have some."""
    if run is None or run.compared is None:
        with Node("div", style="empty panel"):
            Node("strong", "No comparison yet")
            Prose("span", f"A retraining run compares its candidate before the gate: `hindsight retrain {task}`.")
        return
    links = {f"{known.time:%Y-%m-%d %H:%M}": url(task, known.id) for known in compared}
    tabs("Runs", links, f"{run.time:%Y-%m-%d %H:%M}")
    names = candidate_name(run), f"version {run.compared.champion}"
    for found in run.compared.comparisons:
        _render_comparison(found, names)
    if not run.compared.comparisons:
        Node("p", "The run had neither labels of the audit nor rewards to compare by.", "note")


def _render_comparison(found: Comparison, names: tuple[str, str]) -> None:
    with Node("section", style="panel stack", aria_label=found.evidence):
        Node("h2", _EVIDENCE[found.evidence].format(estimator=found.estimator))
        Node("p", f"{found.total.count:,} {_UNITS[found.unit]} of the split test.", "muted")
        with Node("p", style="legend small"):
            for style, name in zip(("candidate", "champion"), names, strict=True):
                Node("span", name, style)
        if chart := value_chart(found.over_time):
            with Node("div", style="scroll"):
                ui.html(chart, sanitize=False)
        _render_parts("Time (UTC)", [(_span(part), part) for part in found.over_time], names)
        for slices in found.slices:
            left_out = f" ({slices.left_out} smaller ones left out)" if slices.left_out else ""
            rows = [(part.slice or "", part) for part in slices.parts]
            _render_parts(f"{slices.column}{left_out}", rows, names)
        _render_parts("All", [("", found.total)], names)
        Node(
            "p",
            f"Intervals are at {found.level:.0%}. Those of the differences of all {found.simultaneous} spans and slices"
            " hold at once; each other interval holds by itself.",
            "muted small",
        )


def _render_parts(title: str, rows: Sequence[tuple[str, ComparedPart]], names: tuple[str, str]) -> None:
    with Node("div", style="scroll figures"), Node("table", style="list"):
        table_header(title, "Count", "Effective", *names, "Difference", "In doubt")
        with Node("tbody"):
            for name, part in rows:
                with Node("tr"):
                    Node("td", name)
                    Node("td", f"{part.count:,}")
                    Node("td", f"{part.effective:,.0f}")
                    Node("td", format_measured(part.candidate))
                    Node("td", format_measured(part.champion))
                    Node("td", format_measured(part.difference), _verdict(part))
                    Node("td", " ".join(part.doubts), "muted small")


def _span(part: ComparedPart) -> str:
    return f"{part.start:%m-%d %H:%M} to {part.end:%m-%d %H:%M}" if part.start and part.end else ""


def format_measured(measured: Measured | None) -> str:
    """Return a value with its interval."""
    return "–" if measured is None else "{:.4f} [{:.4f}, {:.4f}]".format(*measured)


def _verdict(part: ComparedPart) -> str:
    """Return the style of a difference that is not by chance, and not in doubt."""
    if part.difference is None or part.doubts:
        return ""
    _, low, high = part.difference
    return "good" if low > 0 else "bad" if high < 0 else ""
