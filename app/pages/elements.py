"""Plain HTML elements, written and updated from here."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from nicegui.element import Element


class Node(Element):
    """An element of this tag. `props` are its attributes: `aria_label` is `aria-label`, `type_` is `type`."""

    def __init__(self, tag: str, text: str = "", style: str = "", **props: Any) -> None:
        """`style` are its CSS classes."""
        super().__init__(tag)
        self._text = text
        self.classes(style)
        for name, value in props.items():
            self._props[name.rstrip("_").replace("_", "-")] = value

    def set_text(self, text: str) -> Self:
        """Its text from now on; only a change is sent to the browser."""
        if text != self._text:
            self._text = text
            self.update()
        return self

    def set_attribute(self, name: str, value: Any) -> Self:
        """An attribute's value from now on."""
        if self._props.get(name) != value:
            self._props[name] = value
            self.update()
        return self

    def set_shown(self, shown: bool) -> Self:
        """Whether it is there to be seen."""
        return self.set_attribute("hidden", not shown)


def button(text: str, on_click: Callable[..., Any], style: str = "", **props: Any) -> Node:
    """A button that does something."""
    node = Node("button", text, f"button {style}", type_="button", **props)
    node.on("click", on_click, args=[])
    return node


def keycap(text: str) -> Node:
    """A key of the keyboard."""
    return Node("kbd", text)


def tabs(label: str, links: Mapping[str, str], current: str) -> None:
    """Ways to parts of a page, by their names; the one that is shown is marked."""
    with Node("nav", style="tabs", aria_label=label):
        for name, href in links.items():
            link = Node("a", name, href=href)
            if name == current:
                link.set_attribute("aria-current", "page")


def definition_list(values: Mapping[str, str]) -> None:
    """Names, and what there is of each."""
    with Node("dl", style="facts small"):
        for name, value in values.items():
            Node("dt", name)
            Node("dd", value)


def table_header(*names: str) -> None:
    """The first row of a table."""
    with Node("thead"), Node("tr"):
        for name in names:
            Node("th", name)
