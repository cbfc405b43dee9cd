"""`/dead-letters`: records that could not be processed, their reasons, and their redelivery."""

from collections.abc import Mapping
from urllib.parse import urlencode

from nicegui import ui

from app.dead_letters.async_store import DeadLetterNotFound
from app.dead_letters.letter import DeadLetterEntry, DeadLetterFilter, format_redeliveries, to_detailed_json
from app.errors import SetupError
from app.kafka.transient_errors import TRANSIENT_ERRORS
from app.pages import layout
from app.pages.confirmation import ConfirmationDialog, FieldValues
from app.pages.elements import Node, Prose, button, definition_list, table_header, tabs
from app.services.services import Services
from models.base import Rejected

PATH = "/dead-letters"
STAGES = ("preprocess", "inference", "predictions", "feedback", "outcomes")
PAGE_SIZE = 50


def register(services: Services) -> None:
    """Add the page."""

    @ui.page(PATH)
    async def dead_letters(stage: str = "", task: str = "", code: str = "", before: str = "", id: str = "") -> None:
        with layout.page("Dead letters", PATH):
            with Node("div", style="bar"):
                Node("h1", "Dead letters")
            selection = {"stage": stage, "task": task, "code": code}
            if not id:
                _render_filter("stage", {name: name for name in STAGES}, selection)
                _render_filter("task", {name: name for name in services.tasks}, selection)
            try:
                if id:
                    await _render_dead_letter(services, id)
                else:
                    await _render_list(services, selection, before)
            except DeadLetterNotFound as error:
                Node("p", f"{error}. It may have been erased.", "note")
            except SetupError as error:
                Prose("p", error.one_line, "note bad")
            except TRANSIENT_ERRORS as error:
                Node("p", f"The dead letters can't be read now: {error}. Reload the page.", "note bad")


def _render_filter(name: str, values: Mapping[str, str], selection: Mapping[str, str]) -> None:
    """Show the values of a filter, by their texts, as links that keep the other filters."""
    links = {f"Any {name}": _list_url({**selection, name: ""})}
    links |= {text: _list_url({**selection, name: value}) for text, value in values.items()}
    current = next((text for text, value in values.items() if value == selection[name]), f"Any {name}")
    tabs(name.capitalize(), links, current)


def _list_url(parameters: Mapping[str, str]) -> str:
    return f"{PATH}?{urlencode({name: value for name, value in parameters.items() if value})}"


async def _render_list(services: Services, selection: Mapping[str, str], before: str) -> None:
    stage, task, code = (selection[name] or None for name in ("stage", "task", "code"))
    criteria = DeadLetterFilter(stage=stage, task=task, code=code)
    letters, more, counts = await services.dead_letters.page_with_codes(criteria, PAGE_SIZE, before or None)
    _render_filter("code", {f"{code} {count:,}": code for code, count in counts.most_common()}, selection)
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
            Node("a", "Older", href=_list_url({**selection, "before": letters[-1].id}))


def _render_row(letter: DeadLetterEntry) -> None:
    with Node("tr", data_letter=letter.id):
        with Node("td"):
            Node("a", f"{letter.logged:%Y-%m-%d %H:%M:%S}", href=f"{PATH}?{urlencode({'id': letter.id})}")
        Node("td", letter.stage)
        with Node("td"):
            Node("strong", letter.code)
            Node("p", letter.reason, "muted small")
        Node("td", letter.topic)
        Node("td", format_redeliveries(letter), "good small")


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
            Node("span", format_redeliveries(letter), "good small")
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
