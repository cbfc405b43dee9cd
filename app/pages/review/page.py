"""`/review`: predictions one after the other, each accepted, corrected or rewarded by one keystroke."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

from nicegui import context, ui

from app.kafka.transient_errors import AWAY
from app.pages import layout
from app.pages.elements import Node, heads, tabs
from app.pages.review.claims import Claims
from app.pages.review.editors import brief
from app.pages.review.queues import QUEUES, Judged, judged
from app.pages.review.review_session import SINCE, Desk
from app.pages.review.session_view import Sitting
from app.services.services import Parts

_NAMES: Mapping[str, str] = {"audit": "Random audit", "uncertain": "Least certain", "judged": "Judged"}


def register(parts: Parts) -> None:
    """Add the page."""
    claims = Claims(parts.settings.database)

    @ui.page("/review")
    async def review(task: str = "", queue: str = "audit", id: str = "") -> None:
        name = task if task in parts.tasks else next(iter(parts.tasks))
        with layout.page("Review", "/review"):
            with Node("div", style="bar"):
                Node("h1", "Review")
                tabs("Tasks", {one: _way(task=one, queue=queue) for one in parts.tasks}, name)
                viewer = layout.Viewer()
            queues = {_NAMES[one]: _way(task=name, queue=one) for one in _NAMES}
            tabs("Queues", queues, "" if id else _NAMES.get(queue, ""))
            if queue == "judged" and not id:
                await _judged(parts, name)
                return
            desk = Desk(parts, claims, name, queue if queue in QUEUES else "audit")
            sitting = Sitting(parts, desk, viewer)
        context.client.on_delete(desk.close)
        await sitting.begin(id)


def _way(**asked: str) -> str:
    return f"/review?{urlencode(asked)}"


async def _judged(parts: Parts, task: str) -> None:
    """What others have said lately."""
    try:
        versions = list(parts.controller.models[task].versions)
        found = await asyncio.to_thread(
            parts.catalog.ask, lambda connection: judged(connection, task, versions, datetime.now(UTC) - SINCE)
        )
    except AWAY as error:
        Node("p", f"That can't be seen now: {error}. Load the page again.", "note bad")
        return
    with Node("section", style="panel"):
        if not found:
            with Node("div", style="empty"):
                Node("strong", "Nothing was judged yet")
                Node("span", "What people and applications say of predictions is listed here, disagreements first.")
            return
        with Node("table", style="list"):
            heads("Predicted", "Said", "By", "Score", "Selection", "")
            with Node("tbody"):
                for one in found:
                    _judged_row(task, one)


def _judged_row(task: str, one: Judged) -> None:
    with Node("tr"):
        with Node("td"):
            Node("a", brief(one.output), href=_way(task=task, id=one.prediction_id))
        Node("td", brief(one.label) if one.label is not None else "" if one.reward is None else f"{one.reward:g}")
        Node("td", ", ".join(one.actors))
        Node("td", "" if one.score is None else f"{one.score:.2f}")
        Node("td", one.selection, "muted")
        Node("td", "they disagree" if one.contradicted else "", "warn")
