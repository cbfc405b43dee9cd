"""The editor of the text of pages: of some of their lines, or of the whole."""

from typing import Any

from app.pages.review.editor import Editor
from app.pages.review.payload_urls import picture_source
from app.pages.review.review_session import ReviewItem
from app.pages.widgets import PagesEditor

_KEPT = ("polygon", "page")
"""What a correction repeats of a line, so that it is found in the output of another version."""


class PageEditor(Editor):
    """The pages with the outlines of their lines, beside the lines' texts or the whole text.

    A correction names the changed lines, or all if the viewer has checked all; a changed whole text names none.
    """

    def __init__(self, item: ReviewItem) -> None:
        self._lines: list[dict[str, Any]] = item.output["lines"]
        self._text = str(item.output["text"])
        # A score that counts must be of all that was read, not only of what is wrong.
        checked = item.selection != "volunteer"
        self._change: dict[str, Any] = {}
        PagesEditor(picture_source(item), self._lines, self._text, checked, self._set_change)

    def _set_change(self, change: dict[str, Any]) -> None:
        self._change = change
        self.on_change()

    def correction(self) -> dict[str, Any] | None:
        """Return the lines or the text that the viewer changed; None without a change."""
        if "text" in self._change:
            text = str(self._change["text"])
            return None if text == self._text else {"text": text}
        served = [str(line["text"]) for line in self._lines]
        texts = [str(text) for text in self._change.get("texts", served)]
        if texts == served:
            return None
        return {
            "lines": [
                {"line": number, "text": text} | {name: line[name] for name in _KEPT if name in line}
                for number, (line, text) in enumerate(zip(self._lines, texts, strict=True))
                if self._change.get("all") or text != served[number]
            ]
        }
