"""The list of dead letters, without a browser."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

from nicegui import Client, context
from nicegui.page import page

from app.dead_letters.letter import DeadLetterEntry, DeadLetterFilter
from app.pages import dead_letters
from app.pages.elements import Node
from tests.support.dead_letters import LETTER


class Store:
    """A store of one dead letter that keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[DeadLetterFilter] = []

    async def page_with_codes(
        self, criteria: DeadLetterFilter, limit: int, before: str | None
    ) -> tuple[list[DeadLetterEntry], bool, Counter[str]]:
        self.asked.append(criteria)
        return [LETTER], True, Counter({"unreadable_image": 12, "too_large": 1})


async def test_codes_are_counted_and_each_filter_keeps_the_others() -> None:
    store = Store()
    services: Any = SimpleNamespace(dead_letters=store)
    with Client(page("/dead-letters")):
        selection = {"stage": "preprocess", "task": "ocr", "code": ""}
        await dead_letters._render_list(services, selection, "")
        nodes = [element for element in context.client.elements.values() if isinstance(element, Node)]
    assert store.asked == [DeadLetterFilter(stage="preprocess", task="ocr")]
    links = {node._text: node._props["href"] for node in nodes if node.tag == "a"}
    assert links == {
        "Any code": "/dead-letters?stage=preprocess&task=ocr",
        "unreadable_image 12": "/dead-letters?stage=preprocess&task=ocr&code=unreadable_image",
        "too_large 1": "/dead-letters?stage=preprocess&task=ocr&code=too_large",
        "2026-01-31 12:00:00": f"/dead-letters?id={LETTER.id}",
        "Older": f"/dead-letters?stage=preprocess&task=ocr&before={LETTER.id}",
    }
    assert "replayed 2 times" in {node._text for node in nodes}
