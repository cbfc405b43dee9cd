"""The keys and buttons of the review page."""

from collections.abc import Callable, Mapping
from typing import Any

from app.pages.elements import Node, button

KEY_HELP: Mapping[str, str] = {
    "Enter": "accept the prediction, or send your correction",
    "Ctrl Enter": "send a text of several lines while you write it",
    "x": "reject the prediction, without a correction",
    "+": "reward 1",
    "0": "reward 0",
    "-": "reward -1",
    "1 to 9": "choose the right action; Enter sends it",
    "o": "show the output of an audited prediction; your answer is not blind then",
    "s": "skip the prediction; others get it later",
    "u": "undo your last feedback",
    "b": "review several at once",
    "e": "edit the text, or the chosen line; arrows go to other lines",
    "w": "write the whole text of a page, or its lines",
    "z": "zoom a page",
    "[ ]": "show another page",
    "Esc": "leave the field; outside of it, undo your change of the prediction",
    "Space": "play or pause the audio",
    ", .": "play another segment of the audio; choose another box",
}
KEYS = ("Enter", "a", "x", "+", "=", "0", "-", "o", "s", "u", "b", "Escape", *"123456789")
_BUTTONS = (
    ("Right", "Enter", "main"),
    ("Wrong", "x", ""),
    ("Good", "+", ""),
    ("Bad", "-", ""),
    ("Show", "o", "plain"),
    ("Skip", "s", "plain"),
    ("Undo", "u", "plain"),
    ("Several", "b", "plain"),
)


class ReviewButtons:
    """The buttons of an item. Each calls `on_key` with its key."""

    def __init__(self, on_key: Callable[[str], Any]) -> None:
        self._buttons: dict[str, Node] = {}
        with Node("div", style="bar"):
            for text, key, style in _BUTTONS:
                self._buttons[key] = button(text, lambda key=key: on_key(key), style)
                with self._buttons[key]:
                    Node("kbd", key)

    def show_change(self, changed: bool) -> None:
        """Say what Enter sends: an acceptance, or the correction of a changed prediction."""
        self._buttons["Enter"].set_text("Send correction" if changed else "Right")
