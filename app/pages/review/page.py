"""`/review`: review predictions one by one; a keystroke accepts, corrects or rewards each."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import product
from urllib.parse import urlencode

from nicegui import context, ui

from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages import layout
from app.pages.elements import Node, table_header, tabs
from app.pages.review.claims import Claims
from app.pages.review.editors import summarize_output
from app.pages.review.queues import QUEUES, ReviewedPrediction, find_reviewed
from app.pages.review.review_session import MAX_AGE, ReviewSession, waiting_predictions
from app.pages.review.session_view import SessionView
from app.services.services import Services

_QUEUE_NAMES: Mapping[str, str] = {"audit": "Random audit", "uncertain": "Least certain", "judged": "Reviewed"}


def register(services: Services) -> None:
    """Add the page."""
    claims = Claims(services.settings.catalog_url)

    @ui.page("/review")
    async def review(task: str = "", queue: str = "", id: str = "") -> None:
        if not (task or queue or id):
            task, queue = await _find_work(services)
        name, queue = task if task in services.tasks else next(iter(services.tasks)), queue or "audit"
        with layout.page("Review", "/review"):
            with Node("div", style="bar"):
                Node("h1", "Review")
                tabs("Tasks", {known: _review_url(task=known, queue=queue) for known in services.tasks}, name)
                viewer = layout.Viewer()
            links = {text: _review_url(task=name, queue=queue_id) for queue_id, text in _QUEUE_NAMES.items()}
            tabs("Queues", links, "" if id else _QUEUE_NAMES.get(queue, ""))
            if queue == "judged" and not id:
                await _render_reviewed(services, name)
                return
            session = ReviewSession(services, claims, name, queue if queue in QUEUES else "audit")
            view = SessionView(services, session, viewer)
        context.client.on_delete(session.close)
        await view.start(id)


async def _find_work(services: Services) -> tuple[str, str]:
    """Return the first task and queue with a prediction to review, audits first; empty names if none has any."""
    with suppress(*TRANSIENT_ERRORS):
        for queue, task in product(QUEUES, services.tasks):
            if await waiting_predictions(services, queue, task):
                return task, queue
    return "", ""


def _review_url(**parameters: str) -> str:
    return f"/review?{urlencode(parameters)}"


async def _render_reviewed(services: Services, task: str) -> None:
    """Show the predictions with recent feedback."""
    try:
        versions = list(services.controller.models[task].versions)
        reviewed = await asyncio.to_thread(
            services.catalog.query,
            lambda connection: find_reviewed(connection, task, versions, datetime.now(UTC) - MAX_AGE),
        )
    except TRANSIENT_ERRORS as error:
        Node("p", f"The feedback can't be read now: {error}. Reload the page.", "note bad")
        return
    with Node("section", style="panel"):
        if not reviewed:
            with Node("div", style="empty"):
                Node("strong", "No feedback yet")
                Node("span", "Predictions with feedback appear here, contradictory feedback first.")
            return
        with Node("table", style="list"):
            table_header("Prediction", "Label or reward", "Actors", "Score", "Selection", "")
            with Node("tbody"):
                for prediction in reviewed:
                    _render_reviewed_row(task, prediction)


def _render_reviewed_row(task: str, prediction: ReviewedPrediction) -> None:
    reward = "" if prediction.reward is None else f"{prediction.reward:g}"
    with Node("tr"):
        with Node("td"):
            Node("a", summarize_output(prediction.output), href=_review_url(task=task, id=prediction.prediction_id))
        Node("td", reward if prediction.label is None else summarize_output(prediction.label))
        Node("td", ", ".join(prediction.actors))
        Node("td", "" if prediction.score is None else f"{prediction.score:.2f}")
        Node("td", prediction.selection, "muted")
        Node("td", "contradictory" if prediction.contradicted else "", "warn")
