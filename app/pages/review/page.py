"""`/review`: predictions one after the other, each accepted, corrected or rewarded by one keystroke."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from nicegui import context, ui

from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages import layout
from app.pages.elements import Node, table_header, tabs
from app.pages.review.claims import Claims
from app.pages.review.editors import summarize_output
from app.pages.review.queues import QUEUES, ReviewedPrediction, find_reviewed
from app.pages.review.review_session import MAX_AGE, ReviewSession
from app.pages.review.session_view import SessionView
from app.services.services import Services

_QUEUE_NAMES: Mapping[str, str] = {"audit": "Random audit", "uncertain": "Least certain", "judged": "Judged"}


def register(services: Services) -> None:
    """Add the page."""
    claims = Claims(services.settings.catalog_url)

    @ui.page("/review")
    async def review(task: str = "", queue: str = "audit", id: str = "") -> None:
        name = task if task in services.tasks else next(iter(services.tasks))
        with layout.page("Review", "/review"):
            with Node("div", style="bar"):
                Node("h1", "Review")
                tabs("Tasks", {one: _review_url(task=one, queue=queue) for one in services.tasks}, name)
                viewer = layout.Viewer()
            queues = {_QUEUE_NAMES[one]: _review_url(task=name, queue=one) for one in _QUEUE_NAMES}
            tabs("Queues", queues, "" if id else _QUEUE_NAMES.get(queue, ""))
            if queue == "judged" and not id:
                await _render_reviewed(services, name)
                return
            desk = ReviewSession(services, claims, name, queue if queue in QUEUES else "audit")
            sitting = SessionView(services, desk, viewer)
        context.client.on_delete(desk.close)
        await sitting.start(id)


def _review_url(**asked: str) -> str:
    return f"/review?{urlencode(asked)}"


async def _render_reviewed(services: Services, task: str) -> None:
    """What others have said lately."""
    try:
        versions = list(services.controller.models[task].versions)
        found = await asyncio.to_thread(
            services.catalog.query,
            lambda connection: find_reviewed(connection, task, versions, datetime.now(UTC) - MAX_AGE),
        )
    except TRANSIENT_ERRORS as error:
        Node("p", f"That can't be seen now: {error}. Load the page again.", "note bad")
        return
    with Node("section", style="panel"):
        if not found:
            with Node("div", style="empty"):
                Node("strong", "Nothing was judged yet")
                Node("span", "What people and applications say of predictions is listed here, disagreements first.")
            return
        with Node("table", style="list"):
            table_header("Predicted", "Said", "By", "Score", "Selection", "")
            with Node("tbody"):
                for one in found:
                    _render_reviewed_row(task, one)


def _render_reviewed_row(task: str, one: ReviewedPrediction) -> None:
    with Node("tr"):
        with Node("td"):
            Node("a", summarize_output(one.output), href=_review_url(task=task, id=one.prediction_id))
        Node(
            "td",
            summarize_output(one.label) if one.label is not None else "" if one.reward is None else f"{one.reward:g}",
        )
        Node("td", ", ".join(one.actors))
        Node("td", "" if one.score is None else f"{one.score:.2f}")
        Node("td", one.selection, "muted")
        Node("td", "they disagree" if one.contradicted else "", "warn")
