"""Plain HTML elements that the server creates and updates."""

from collections.abc import Callable, Mapping
from typing import Any, Self

from nicegui.element import Element


class Node(Element):
    """An HTML element. `props` are its attributes: `aria_label` becomes `aria-label`, `type_` becomes `type`."""

    def __init__(self, tag: str, text: str = "", style: str = "", **props: Any) -> None:
        """Take the CSS classes as `style`."""
        super().__init__(tag)
        self._text = text
        self.classes(style)
        for name, value in props.items():
            self._props[name.rstrip("_").replace("_", "-")] = value

    def set_text(self, text: str) -> Self:
        """Set the text; only a change is sent to the browser."""
        if text != self._text:
            self._text = text
            self.update()
        return self

    def set_attribute(self, name: str, value: Any) -> Self:
        """Set an attribute; only a change is sent to the browser."""
        if self._props.get(name) != value:
            self._props[name] = value
            self.update()
        return self

    def set_shown(self, shown: bool) -> Self:
        """Show or hide the element."""
        return self.set_attribute("hidden", not shown)


class Prose(Node):
    """An HTML element with a text whose parts in backticks are code."""

    def __init__(self, tag: str, text: str = "", style: str = "", **props: Any) -> None:
        super().__init__(tag, style=style, **props)
        self._prose = ""
        self.set_text(text)

    def set_text(self, text: str) -> Self:
        """Set the text; only a change is sent to the browser."""
        if text != self._prose:
            self._prose = text
            self.clear()
            with self:
                for index, part in enumerate(text.split("`")):
                    Node("code" if index % 2 else "span", part)
        return self


def button(text: str, on_click: Callable[..., Any], style: str = "", **props: Any) -> Node:
    """Create a button."""
    node = Node("button", text, f"button {style}", type_="button", **props)
    node.on("click", on_click, args=[])
    return node


def tabs(label: str, links: Mapping[str, str], current: str) -> None:
    """Create links to the parts of a page, by their names, and mark the current one."""
    with Node("nav", style="tabs", aria_label=label):
        for name, href in links.items():
            link = Node("a", name, href=href)
            if name == current:
                link.set_attribute("aria-current", "page")


def definition_list(values: Mapping[str, str]) -> None:
    """Create a list of names with their values."""
    with Node("dl", style="facts small"):
        for name, value in values.items():
            Node("dt", name)
            Node("dd", value)


def table_header(*names: str) -> None:
    """Create the header row of a table."""
    with Node("thead"), Node("tr"):
        for name in names:
            Node("th", name)
