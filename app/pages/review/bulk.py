"""Bulk review: several predictions at once, of which the checked ones are accepted together."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from nicegui.events import GenericEventArguments

from app.pages.elements import Node, button
from app.pages.review.editors import summarize_output
from app.pages.review.payload_urls import payload_url, thumbnail_url
from app.pages.review.review_session import ReviewItem
from app.pages.widgets import AudioPlayer


class BulkReview:
    """A grid of items. Its buttons call `on_key`: `Enter` accepts the checked items, `b` goes back to single items."""

    MAX_ITEMS: ClassVar[int] = 12

    def __init__(self, items: Sequence[ReviewItem], on_key: Callable[[str], Any]) -> None:
        self.items = list(items)
        self._unchecked_ids: set[str] = set()
        if not self.items:
            with Node("div", style="empty"):
                Node("strong", "This queue is empty")
                Node("span", "There is nothing to accept. Choose another queue.")
        with Node("ul", style="grid"):
            for item in self.items:
                self._add_item(item)
        with Node("div", style="bar"):
            self._accept_button = button("", lambda: on_key("Enter"), "main")
            with self._accept_button:
                Node("kbd", "Enter")
            with button("One at a time", lambda: on_key("b"), "plain"):
                Node("kbd", "b")
        self._update_count()

    @property
    def selected(self) -> list[ReviewItem]:
        """The checked items."""
        return [item for item in self.items if item.prediction_id not in self._unchecked_ids]

    def _add_item(self, item: ReviewItem) -> None:
        with Node("li"), Node("label", style="stack-tight"):
            if item.payload is not None and item.payload.display == "image":
                Node("img", src=payload_url(item), alt="")
            elif item.payload is not None and item.payload.display == "pages":
                Node("img", src=thumbnail_url(item.prediction_id), alt="")
            elif item.payload is not None and item.payload.display == "audio":
                AudioPlayer(payload_url(item))
            with Node("span", style="bar"):
                checkbox = Node("input", type_="checkbox", checked=True)
                Node("span", summarize_output(item.output))
                Node("span", f"{item.prediction['confidence']:.2f}", "muted small")

        def on_change(event: GenericEventArguments) -> None:
            (self._unchecked_ids.discard if event.args else self._unchecked_ids.add)(item.prediction_id)
            checkbox._props["checked"] = bool(event.args)
            self._update_count()

        checkbox.on("change", on_change, js_handler="(event) => emit(event.target.checked)")

    def _update_count(self) -> None:
        self._accept_button.set_text(f"Accept {len(self.selected)}").set_attribute("disabled", not self.selected)
