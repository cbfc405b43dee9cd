"""Where a version comes from, and what it did, as the models page shows it."""

import asyncio
from collections.abc import Mapping

from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages.elements import Node, definition_list
from app.registry.lineage import Lineage, trace_lineage
from app.services.services import Services


async def render_lineage(services: Services, task: str, version: str, back_url: str) -> None:
    """All that is known of a version; `back` leads to where it is not shown."""
    try:
        models = services.controller.models[task]
        measured = models.version(version).card.get("figures")
        found = await asyncio.to_thread(trace_lineage, services.settings, models, version)
    except TRANSIENT_ERRORS as error:
        Node("p", f"Version {version} can't be seen now: {error}. Load the page again.", "note bad")
        return
    except SetupError as error:
        Node("p", error.one_line, "note bad")
        return
    with Node("section", style="panel stack", aria_label=f"Version {version}"):
        with Node("div", style="bar"):
            Node("h2", f"Version {version}")
            Node("a", "Close", "push small", href=back_url)
        definition_list(
            describe_lineage(found) | {"measured": format_figures("", measured if isinstance(measured, dict) else None)}
        )
        run = models.runs.get(found.run or "")
        if run is not None and run.evaluated is not None and run.evaluated.reasons:
            Node("p", "The gate refused it: " + " ".join(run.evaluated.reasons), "note bad")


def describe_lineage(found: Lineage) -> dict[str, str]:
    """What is known of it, in words."""
    dataset = found.dataset or {}
    said = {
        "role": found.role or "none",
        "began as": f"version {found.parent}" if found.parent else "",
        "registered by": found.registered or "comes with the task",
        "trigger": format_figures(found.trigger, found.evidence),
        "dataset": f"{dataset['rows']:,} rows, content hash {dataset['content_hash'][:16]}" if dataset else "",
        "labels by": format_figures("", found.labelled),
        "code": found.code or "",
        "backtest": "",
        "gate": format_figures("", found.gate),
        "served": format_figures("", found.served) or "nothing yet",
        "file": found.artifact,
        "run": found.run or "",
    }
    if found.backtest is not None:
        scores = (found.backtest.score, found.backtest.score_served)
        score, served = ("–" if one is None else f"{one:.3f}" for one in scores)
        said["backtest"] = f"{found.backtest.rows:,} rows: score {score}, served {served}"
    said |= {f"route {number}": line for number, line in enumerate(found.routes, 1)}
    return {name: text for name, text in said.items() if text}


def format_figures(first: str | None, figures: Mapping[str, object] | None) -> str:
    """Figures by their names, after what they are of."""
    shown = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in (figures or {}).items()
    ]
    return ": ".join(part for part in (first or "", ", ".join(shown)) if part)
