"""The latest answer of each task, with its page, picture or recording: what the platform does, at a glance."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection

from app.client import summarize_output
from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.outcomes.label_aggregation import draw_selection
from app.pages.elements import Node
from app.pages.overview.catalog_queries import latest_answers
from app.pages.review.payload_urls import pages_url
from app.pages.widgets import AudioPlayer, PagesEditor
from app.services.payloads import PayloadNotFound
from app.services.services import Services

LATEST_SECONDS = 5.0
_MAX_AGE_SECONDS = 60.0
"""An answer is shown at least this long: reading its payload takes more than all other figures of the page."""
_MAX_CHARACTERS = 200


@dataclass(frozen=True)
class LatestAnswer:
    """An answer and how its payload is shown."""

    prediction_id: str
    output: dict[str, Any]
    confidence: float
    display: str

    @property
    def outlines(self) -> Sequence[dict[str, Any]]:
        """The outlines of the output's lines or boxes."""
        match self.output:
            case {"lines": list(lines)}:
                return lines
            case {"boxes": list(boxes)}:
                return [_box_outline(box) for box in boxes]
        return ()


def _box_outline(box: Mapping[str, Any]) -> dict[str, Any]:
    x0, y0, x1, y1 = box["box"]
    outline = {"text": box["label"], "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}
    return outline | ({"confidence": box["score"]} if "score" in box else {})


class LatestAnswers:
    """The latest answers of all tasks, which all viewers share; none of the audit, which is blind."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._answers: dict[str, LatestAnswer] = {}
        self._read_at: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def read(self) -> Mapping[str, LatestAnswer]:
        """Return the latest answer of each task that has one, at most a minute old where there is a later one."""
        async with self._lock:
            for task in self._services.tasks:
                if time.monotonic() - self._read_at.get(task, float("-inf")) > _MAX_AGE_SECONDS:
                    await self._refresh(task)
        return self._answers

    async def _refresh(self, task: str) -> None:
        services, rules = self._services, self._services.settings.for_task(task)

        def find(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
            return latest_answers(connection, task, list(services.controller.models[task].versions))

        try:
            for prediction_id, data in await asyncio.to_thread(services.catalog.query, find):
                if draw_selection(rules, prediction_id)[0] == "audit":
                    continue
                payload = await services.payloads.read(prediction_id)
                answer = LatestAnswer(prediction_id, data["output"], data["confidence"], payload.display)
                self._answers[task], self._read_at[task] = answer, time.monotonic()
                return
        except (PayloadNotFound, SetupError, *TRANSIENT_ERRORS):
            self._answers.pop(task, None)  # erased, or not to be read now


class LatestPanel:
    """The latest answers on a page."""

    def __init__(self, answers: LatestAnswers) -> None:
        self._answers = answers
        self._shown: dict[str, LatestAnswer] = {}
        with Node("section", style="panel stack", aria_label="Latest answers") as self._panel:
            Node("h2", "Latest answers")
            self._cards = Node("div", style="latest")
        self._panel.set_shown(False)

    async def refresh(self) -> None:
        """Show the current answers; only a change is sent to the browser."""
        answers = dict(await self._answers.read())
        if answers == self._shown:
            return
        self._shown = answers
        self._panel.set_shown(bool(answers))
        self._cards.clear()
        with self._cards:
            for task, answer in answers.items():
                _add_card(task, answer)


def _add_card(task: str, answer: LatestAnswer) -> None:
    with Node("article", style="stack-tight", data_latest=task):
        with Node("div", style="bar"):
            Node("h3", task)
            Node("span", f"{answer.confidence:.0%} sure", "muted small")
            review = f"/review?{urlencode({'task': task, 'id': answer.prediction_id})}"
            Node("a", "Look closer", "small push", href=review)
        if answer.display in ("image", "pages"):
            PagesEditor({"pages": pages_url(answer.prediction_id)}, answer.outlines, compact=True)
        elif answer.display == "audio":
            AudioPlayer(f"/v1/predictions/{answer.prediction_id}/payload")
        Node("p", summarize_output(answer.output)[:_MAX_CHARACTERS] or "(nothing)", "small")
