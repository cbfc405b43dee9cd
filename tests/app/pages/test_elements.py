from nicegui import Client
from nicegui.page import page

from app.pages.elements import Node, Prose


def parts(prose: Prose) -> list[tuple[str, str]]:
    return [(child.tag, child._text or "") for child in prose if isinstance(child, Node)]


def test_commands_in_prose_are_code() -> None:
    with Client(page("/")):
        prose = Prose("p", "Run `hindsight up` first.")
        assert parts(prose) == [("span", "Run "), ("code", "hindsight up"), ("span", " first.")]
        prose.set_text("Done.")
        assert parts(prose) == [("span", "Done.")]
