"""`/dead-letters`: records that could not be processed, their reasons, and their redelivery."""

from urllib.parse import urlencode

from nicegui import ui

from app.dead_letters.async_store import DeadLetterNotFound
from app.dead_letters.letter import DeadLetterEntry, DeadLetterFilter, to_detailed_json
from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages import layout
from app.pages.confirmation import ConfirmationDialog, FieldValues
from app.pages.elements import Node, button, definition_list, table_header, tabs
from app.services.services import Services
from models.base import Rejected

PATH = "/dead-letters"
STAGES = ("preprocess", "inference", "predictions", "feedback", "outcomes")
PAGE_SIZE = 50


def register(services: Services) -> None:
    """Add the page."""

    @ui.page(PATH)
    async def dead_letters(stage: str = "", before: str = "", id: str = "") -> None:
        with layout.page("Dead letters", PATH):
            with Node("div", style="bar"):
                Node("h1", "Dead letters")
                links = {"All": PATH} | {name: f"{PATH}?{urlencode({'stage': name})}" for name in STAGES}
                tabs("Stages", links, "" if id else stage or "All")
            try:
                if id:
                    await _render_dead_letter(services, id)
                else:
                    await _render_list(services, stage, before)
            except DeadLetterNotFound as error:
                Node("p", f"{error}. It may have been erased.", "note")
            except SetupError as error:
                Node("p", error.one_line, "note bad")
            except TRANSIENT_ERRORS as error:
                Node("p", f"The dead letters can't be read now: {error}. Reload the page.", "note bad")


async def _render_list(services: Services, stage: str, before: str) -> None:
    letters, more = await services.dead_letters.page(DeadLetterFilter(stage=stage or None), PAGE_SIZE, before or None)
    with Node("section", style="panel"):
        if not letters:
            with Node("div", style="empty"):
                Node("strong", "No dead letters")
                Node("span", "Records that a stage can't process appear here. Replay them after you fix the cause.")
            return
        with Node("div", style="scroll"), Node("table", style="list"):
            table_header("Time", "Stage", "Reason", "Topic", "")
            with Node("tbody"):
                for letter in letters:
                    _render_row(letter)
        if more:
            Node("a", "Older", href=f"{PATH}?{urlencode({'stage': stage, 'before': letters[-1].id})}")


def _render_row(letter: DeadLetterEntry) -> None:
    with Node("tr", data_letter=letter.id):
        with Node("td"):
            Node("a", f"{letter.logged:%Y-%m-%d %H:%M:%S}", href=f"{PATH}?{urlencode({'id': letter.id})}")
        Node("td", letter.stage)
        with Node("td"):
            Node("strong", letter.code)
            Node("p", letter.reason, "muted small")
        Node("td", letter.topic)
        Node("td", _redelivery_count(letter), "good small")


def _redelivery_count(letter: DeadLetterEntry) -> str:
    return f"replayed {letter.redeliveries} times" if letter.redeliveries else ""


async def _render_dead_letter(services: Services, letter_id: str) -> None:
    try:
        letter, original = await services.dead_letters.read(letter_id)
    except Rejected as error:
        Node("p", f"The payload can't be read: {error}", "note bad")
        return
    details = to_detailed_json(letter, original)
    dialog = ConfirmationDialog()

    async def replay(values: FieldValues) -> str:
        try:
            letters, result = await services.dead_letters.redeliver(letter_id, force=bool(letter.redeliveries))
        except (DeadLetterNotFound, Rejected) as error:
            raise SetupError(f"It can't be replayed: {error}.", "See the reason on this page.") from error
        refused = f"; the broker refused {len(result.refused)} of them" if result.refused else ""
        return f"Replayed {len(letters)} to {letter.topic}{refused}. Records that fail again become new dead letters."

    with Node("section", style="panel stack", aria_label="Dead letter"):
        with Node("div", style="bar"):
            Node("h2", f"{letter.stage}: {letter.code}")
            Node("span", _redelivery_count(letter), "good small")
            if layout.viewer_has_scope("operate"):
                text = f"This publishes the record again, unchanged, to {letter.topic}. Fix the cause first."
                if letter.redeliveries:
                    text += " It was replayed before, so its event may be in the log twice. It counts once."
                button(
                    "Replay",
                    lambda: dialog.ask("Replay", text, replay, needs_reason=False),
                    "push",
                    data_change="replay",
                )
        Node("p", letter.reason)
        definition_list(
            {
                "time": f"{letter.logged:%Y-%m-%d %H:%M:%S} UTC",
                "position": f"{letter.topic}, partition {letter.partition}, offset {letter.offset}",
                "event": f"{letter.event_identity[1]} of {letter.event_identity[0]}",
                "key": str(details["key"] or "none"),
                "id": letter.id,
            }
            | {name: str(value) for name, value in details["headers"]}
        )
        with Node("div", style="bar"):
            Node("h3", f"Payload, {details['bytes']:,} bytes")
            Node("a", "Download", "small push", href=f"/v1/dead-letters/{letter.id}/payload")
        Node("pre", details["payload"] or "empty", "payload")
