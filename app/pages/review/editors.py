"""Editors of predictions: text, lines of pages, boxes, an action, or JSON."""

import json
from collections.abc import Sequence
from typing import Any

from nicegui.events import GenericEventArguments

from app import client
from app.events.cloudevents import JSON
from app.pages.elements import Node, Prose
from app.pages.review.editor import Editor
from app.pages.review.page_editor import PageEditor
from app.pages.review.payload_urls import payload_url, picture_source
from app.pages.review.review_session import ReviewItem
from app.pages.widgets import AudioPlayer, BoxEditor, PagesEditor
from models.base import Rejected
from models.entry_points import load

__all__ = ["Editor", "render_item", "summarize_output"]
"""`Editor` is the base of tasks' own editors, by this address."""

_MAX_CHARACTERS = 4_000
_MAX_CHOICES = 9


def render_item(item: ReviewItem, labels: Sequence[str], editor: str | None = None) -> Editor:
    """Show the payload and the prediction in the open element, and return the editor of its correction.

    `labels` are the labels of boxes. `editor` is the task's own editor, `module:Class`: an `Editor` of (item, labels).
    """
    output = item.output
    if editor is not None and item.payload is not None:
        task_editor: Editor = load(editor)(item, labels)
        return task_editor
    if item.payload is not None and item.payload.display in ("image", "pages"):
        if isinstance(output.get("boxes"), list):
            return _BoxesEditor(item, labels)
        if _has_lines(output):
            return PageEditor(item)
    _show_payload(item)
    if isinstance(output.get("text"), str):
        return _TextEditor(output)
    if isinstance(output.get("action"), str):
        return _ActionEditor(item)
    return _JsonEditor(output)


def _show_payload(item: ReviewItem) -> None:
    """Show the payload, or the reason if there is none."""
    payload = item.payload
    if payload is None:
        Prose("p", item.payload_error, "note bad")
    elif payload.display == "image":
        Node("img", style="payload", src=payload_url(item), alt="Image of the request")
    elif payload.display == "pages":
        PagesEditor(picture_source(item))
    elif payload.display == "audio":
        segments = item.output.get("segments")
        AudioPlayer(payload_url(item), segments if isinstance(segments, list) else ())
    elif payload.display == "none":
        with Node("p", style="note"):
            Node("span", f"Browsers can't show {payload.media_type}. ")
            Node("a", "Download it", href=payload_url(item), download=payload.name)
    elif not isinstance(item.output.get("action"), str):
        Node("pre", _preview_text(payload.content), "payload")


class _TextEditor(Editor):
    def __init__(self, output: dict[str, Any]) -> None:
        self._served = self._text = str(output["text"])
        with Node("label", style="field"):
            Node("span", "Text", "muted small")
            field = Node("textarea", style="answer line", data_answer="", data_enter="send", rows=1, spellcheck="false")
            field.set_attribute("value", self._text).set_attribute("autocomplete", "off")

        def on_input(event: GenericEventArguments) -> None:
            self._text = str(event.args)
            field._props["value"] = self._text  # the browser has it already
            self.on_change()

        field.on("input", on_input, js_handler="(event) => emit(event.target.value)")

    def correction(self) -> dict[str, Any] | None:
        return None if self._text == self._served else {"text": self._text}


class _BoxesEditor(Editor):
    def __init__(self, item: ReviewItem, labels: Sequence[str]) -> None:
        self._boxes: list[dict[str, Any]] | None = None
        boxes = item.output["boxes"]
        all_labels = [*labels, *sorted({str(box["label"]) for box in boxes} - set(labels))]
        BoxEditor(picture_source(item), boxes, all_labels, self._set_boxes)

    def _set_boxes(self, boxes: list[dict[str, Any]]) -> None:
        self._boxes = boxes
        self.on_change()

    def correction(self) -> dict[str, Any] | None:
        return None if self._boxes is None else {"boxes": self._boxes}


class _ActionEditor(Editor):
    """The context and the actions, most probable first. The viewer can choose the right action."""

    def __init__(self, item: ReviewItem) -> None:
        self._served = str(item.output["action"])
        self._chosen: str | None = None
        request = _request_json(item)
        probabilities = item.output.get("probabilities") or {}
        actions = {str(action.get("id")): action for action in request.get("actions", ()) if isinstance(action, dict)}
        ids = {*probabilities, *actions, *filter(None, [self._served])}  # in a blind review nothing was served
        ordered = sorted(ids, key=lambda action_id: (-probabilities.get(action_id, 0.0), action_id))
        self._action_ids = ordered[:_MAX_CHOICES]
        if self._served and self._served not in self._action_ids:
            self._action_ids[-1] = self._served
        with Node("dl", style="facts"):
            for name, value in (request.get("context") or {}).items():
                Node("dt", str(name))
                Node("dd", _format_value(value))
        self._rows: dict[str, tuple[Node, Node]] = {}
        with Node("ol", style="actions", aria_label="Actions"):
            for number, action_id in enumerate(self._action_ids, 1):
                self._rows[action_id] = self._add_row(
                    number, action_id, probabilities.get(action_id), actions.get(action_id, {})
                )
        if len(ordered) > len(self._action_ids):
            Node("p", f"and {len(ordered) - len(self._action_ids)} less probable actions", "muted small")
        self._update_rows()

    def _add_row(
        self, number: int, action_id: str, probability: float | None, features: dict[str, Any]
    ) -> tuple[Node, Node]:
        with Node("li", style="choice") as row:
            Node("kbd", str(number))
            Node("strong", action_id)
            Node("span", "" if probability is None else f"{probability:.1%}")
            texts = [f"{name} {_format_value(value)}" for name, value in features.items() if name != "id"]
            Node("span", ", ".join(texts), "muted small grow")
            state = Node("span", style="small")
        row.on("click", lambda: self.choose(number), args=[])
        return row, state

    def choose(self, digit: int) -> bool:
        if not 1 <= digit <= len(self._action_ids):
            return False
        self._chosen = self._action_ids[digit - 1]
        self._update_rows()
        self.on_change()
        return True

    def _update_rows(self) -> None:
        for action_id, (row, state) in self._rows.items():
            states = ["served"] if action_id == self._served else []
            states += ["right"] if action_id == self._chosen else []
            state.set_text(", ".join(states))
            row.set_attribute("data-right", str(action_id == self._chosen).lower())

    def correction(self) -> dict[str, Any] | None:
        return None if self._chosen in (None, self._served) else {"action": self._chosen}


class _JsonEditor(Editor):
    def __init__(self, output: dict[str, Any]) -> None:
        self._served = self._text = json.dumps(output, ensure_ascii=False, indent=2)
        with Node("label", style="field"):
            Node("span", "Prediction", "muted small")
            field = Node("textarea", style="answer", value=self._text, data_answer="", spellcheck="false")

        def on_input(event: GenericEventArguments) -> None:
            self._text = str(event.args)
            field._props["value"] = self._text
            self.on_change()

        field.on("input", on_input, js_handler="(event) => emit(event.target.value)")

    def correction(self) -> dict[str, Any] | None:
        if self._text == self._served:
            return None
        try:
            correction = json.loads(self._text)
        except (ValueError, RecursionError) as error:
            raise Rejected("not_json", f"the correction is not valid JSON: {error}") from None
        if not isinstance(correction, dict):
            raise Rejected("not_json", "the correction is not a JSON object")
        return correction


def summarize_output(output: dict[str, Any] | None) -> str:
    """Return an output in one line."""
    match output:
        case None:
            return ""
        case {"boxes": []}:
            return "(no objects)"
        case _:
            return client.summarize_output(output)[:_MAX_CHARACTERS] or "(nothing)"


def _has_lines(output: dict[str, Any]) -> bool:
    match output:
        case {"text": str(), "lines": list(lines)}:
            return all(isinstance(line, dict) and isinstance(line.get("text"), str) for line in lines)
    return False


def _request_json(item: ReviewItem) -> dict[str, Any]:
    if item.payload is None or item.payload.media_type != JSON:
        return {}
    request = json.loads(item.payload.content)
    return request if isinstance(request, dict) else {}


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _preview_text(content: bytes) -> str:
    text = content[:_MAX_CHARACTERS].decode(errors="replace")
    return text + ("…" if len(content) > _MAX_CHARACTERS else "")
