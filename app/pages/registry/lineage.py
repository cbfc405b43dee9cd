"""The lineage of a version on the models page: its origin, evaluation and service."""

import asyncio
from collections.abc import Mapping

from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages.elements import Node, Prose, definition_list
from app.registry.lineage import Lineage, trace_lineage
from app.services.services import Services


async def render_lineage(services: Services, task: str, version: str, back_url: str) -> None:
    """Show the lineage of a version, with a link that closes it."""
    try:
        models = services.controller.models[task]
        card_metrics = models.version(version).card.get("figures")
        lineage = await asyncio.to_thread(trace_lineage, services.settings, models, version)
    except TRANSIENT_ERRORS as error:
        Node("p", f"Version {version} can't be shown now: {error}. Reload the page.", "note bad")
        return
    except SetupError as error:
        Prose("p", error.one_line, "note bad")
        return
    with Node("section", style="panel stack", aria_label=f"Version {version}"):
        with Node("div", style="bar"):
            Node("h2", f"Version {version}")
            Node("a", "Close", "push small", href=back_url)
        metrics = format_figures("", card_metrics if isinstance(card_metrics, dict) else None)
        definition_list(describe_lineage(lineage) | {"metrics": metrics})
        run = models.runs.get(lineage.run or "")
        if run is not None and run.evaluated is not None and run.evaluated.reasons:
            Node("p", "The gate refused it: " + " ".join(run.evaluated.reasons), "note bad")


def describe_lineage(lineage: Lineage) -> dict[str, str]:
    """Return the known facts of a lineage as texts, by their names."""
    dataset = lineage.dataset or {}
    facts = {
        "role": lineage.role or "none",
        "parent": f"version {lineage.parent}" if lineage.parent else "",
        "registered by": lineage.registered or "shipped with the task",
        "trigger": format_figures(lineage.trigger, lineage.evidence),
        "dataset": f"{dataset['rows']:,} rows, content hash {dataset['content_hash'][:16]}" if dataset else "",
        "labels by": format_figures("", lineage.labelled),
        "code": lineage.code or "",
        "backtest": "",
        "gate": format_figures("", lineage.gate),
        "served": format_figures("", lineage.served) or "nothing yet",
        "file": lineage.artifact,
        "run": lineage.run or "",
    }
    if lineage.backtest is not None:
        scores = (lineage.backtest.score, lineage.backtest.score_served)
        score, served = ("–" if value is None else f"{value:.3f}" for value in scores)
        facts["backtest"] = f"{lineage.backtest.rows:,} rows: score {score}, served {served}"
    facts |= {f"route {number}": line for number, line in enumerate(lineage.routes, 1)}
    return {name: text for name, text in facts.items() if text}


def format_figures(title: str | None, figures: Mapping[str, object] | None) -> str:
    """Return the figures with their names, after the title."""
    texts = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in (figures or {}).items()
    ]
    return ": ".join(part for part in (title or "", ", ".join(texts)) if part)
