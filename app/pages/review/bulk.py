"""Many predictions together: those that stay ticked are accepted at once."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from nicegui.events import GenericEventArguments

from app.pages.elements import Node, button
from app.pages.review.editors import brief, source
from app.pages.review.review_session import Item
from app.pages.widgets import Sound


class Bulk:
    """A page of items. `on_key` is told `Enter` to accept the chosen ones, `b` to go back to one at a time."""

    MOST: ClassVar[int] = 12

    def __init__(self, items: Sequence[Item], on_key: Callable[[str], Any]) -> None:
        self.items = list(items)
        self._left_out: set[str] = set()
        if not self.items:
            with Node("div", style="empty"):
                Node("strong", "Nothing waits here")
                Node("span", "There is nothing to accept: look at another queue.")
        with Node("ul", style="grid"):
            for item in self.items:
                self._cell(item)
        with Node("div", style="bar"):
            self._accept = button("", lambda: on_key("Enter"), "main")
            with self._accept:
                Node("kbd", "Enter")
            with button("One at a time", lambda: on_key("b"), "plain"):
                Node("kbd", "b")
        self._count()

    @property
    def chosen(self) -> list[Item]:
        """Those that are ticked."""
        return [one for one in self.items if one.prediction_id not in self._left_out]

    def _cell(self, item: Item) -> None:
        with Node("li"), Node("label", style="stack-tight"):
            if item.payload is not None and item.payload.media_type.startswith("image/"):
                Node("img", src=source(item), alt="")
            elif item.payload is not None and item.payload.media_type.startswith("audio/"):
                Sound(source(item))
            with Node("span", style="bar"):
                box = Node("input", type_="checkbox", checked=True)
                Node("span", brief(item.output))
                Node("span", f"{item.recorded['confidence']:.2f}", "muted small")

        def ticked(event: GenericEventArguments) -> None:
            (self._left_out.discard if event.args else self._left_out.add)(item.prediction_id)
            box._props["checked"] = bool(event.args)
            self._count()

        box.on("change", ticked, js_handler="(event) => emit(event.target.checked)")

    def _count(self) -> None:
        self._accept.say(f"Accept {len(self.chosen)}").put("disabled", not self.chosen)
