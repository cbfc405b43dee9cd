"""Editors of predictions: text, boxes, an action, or JSON."""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from nicegui.events import GenericEventArguments

from app.events.cloudevents import JSON
from app.pages.elements import Node, Prose
from app.pages.review.review_session import ReviewItem
from app.pages.widgets import AudioPlayer, BoxEditor
from models.base import Rejected
from models.entry_points import load

_MAX_INLINE_BYTES = 1024 * 1024
"""Payloads up to this size are part of the page; the browser fetches larger ones."""
_MAX_CHARACTERS = 4_000
_MAX_CHOICES = 9


class Editor(ABC):
    """The viewer's changes to a prediction. An editor calls `on_change` after each of them."""

    on_change: Callable[[], object] = staticmethod(lambda: None)

    @abstractmethod
    def correction(self) -> dict[str, Any] | None:
        """Return the right output; None while the prediction is unchanged. Raises `Rejected`."""

    @property
    def is_changed(self) -> bool:
        """Whether the prediction is changed, if only to an output that is not valid."""
        try:
            return self.correction() is not None
        except Rejected:
            return True

    def choose(self, digit: int) -> bool:
        """Select the choice of this number, from 1; return whether there is one."""
        return False


def render_item(item: ReviewItem, labels: Sequence[str], editor: str | None = None) -> Editor:
    """Show the payload and the prediction in the open element, and return the editor of its correction.

    `labels` are the labels of boxes. `editor` is the task's own editor, `module:Class`: an `Editor` of (item, labels).
    """
    output = item.output
    if editor is not None and item.payload is not None:
        task_editor: Editor = load(editor)(item, labels)
        return task_editor
    if item.payload is None:
        Prose("p", item.payload_error, "note bad")
    elif isinstance(output.get("boxes"), list) and item.payload.display == "image":
        return _BoxesEditor(item, labels)
    elif item.payload.display == "image":
        Node("img", style="payload", src=payload_url(item), alt="Image of the request")
    elif item.payload.display == "audio":
        AudioPlayer(payload_url(item))
    elif item.payload.display == "none":
        with Node("p", style="note"):
            Node("span", f"Browsers can't show {item.payload.media_type}. ")
            Node("a", "Download it", href=payload_url(item), download=item.payload.name)
    elif not isinstance(output.get("action"), str):
        Node("pre", _preview_text(item.payload.content), "payload")
    if isinstance(output.get("text"), str):
        return _TextEditor(output)
    if isinstance(output.get("action"), str):
        return _ActionEditor(item)
    return _JsonEditor(output)


def payload_url(item: ReviewItem) -> str:
    """Return the URL of the payload for the browser."""
    payload = item.payload
    assert payload is not None
    if len(payload.content) > _MAX_INLINE_BYTES:
        return f"/v1/predictions/{quote(item.prediction_id, safe='')}/payload"
    return f"data:{payload.media_type};base64,{base64.b64encode(payload.content).decode()}"


class _TextEditor(Editor):
    def __init__(self, output: dict[str, Any]) -> None:
        self._served = self._text = str(output["text"])
        with Node("label", style="field"):
            Node("span", "Text", "muted small")
            field = Node("input", style="answer", value=self._text, data_answer="", spellcheck="false")
            field.set_attribute("autocomplete", "off")

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
        BoxEditor(payload_url(item), boxes, all_labels, self._set_boxes)

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
        case {"text": str(text)} | {"action": str(text)}:
            return text or "(nothing)"
        case {"boxes": list(boxes)}:
            return ", ".join(sorted(str(box.get("label")) for box in boxes)) or "(no objects)"
        case _:
            return json.dumps(output, ensure_ascii=False)[:_MAX_CHARACTERS]


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
