"""What every page has around it: the way to the others, and who is looking."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

from nicegui import context, ui
from nicegui.events import GenericEventArguments

from app.auth.middleware import LOGOUT
from app.auth.scopes import Scope, caller_of
from app.pages.elements import Node

STATIC = "/pages"
PAGES = {
    "/": "Overview",
    "/review": "Review",
    "/models": "Models",
    "/replay": "Replay",
    "/dead-letters": "Dead letters",
}
_COOKIE = "hindsight_name"
_MOST = 100


@contextmanager
def page(title: str, here: str) -> Iterator[Node]:
    """The frame of a page; what is made inside is its content."""
    ui.page_title(f"{title} · Hindsight")
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}/theme.css">')
    with Node("header", style="top"):
        Node("a", "Hindsight", "brand", href="/")
        with Node("nav", aria_label="Pages"):
            for path, name in PAGES.items():
                link = Node("a", name, href=path)
                if path == here:
                    link.put("aria-current", "page")
        if caller_of(context.client.request.scope).session is not None:
            with Node("form", style="push", method="post", action=LOGOUT):
                Node("button", "Log out", "button plain")
    with Node("main", style="page") as content:
        yield content


def may(scope: Scope) -> bool:
    """Whether who looks may do what needs this scope."""
    return scope in caller_of(context.client.request.scope).scopes


def name_of_viewer() -> str:
    """What the viewer has said to be called, in this browser; empty where nothing was said."""
    request = context.client.request
    return unquote(request.cookies.get(_COOKIE, ""))[:_MOST]


def remember_name(name: str) -> None:
    """Keep it in this browser."""
    ui.run_javascript(
        f"document.cookie = '{_COOKIE}=' + encodeURIComponent({name[:_MOST]!r}) + "
        "'; path=/; max-age=31536000; samesite=strict'"
    )


class Viewer:
    """Who looks: the key's name for who has logged in by one, else what they say to be called."""

    def __init__(self) -> None:
        caller = caller_of(context.client.request.scope)
        self.name = caller.name or name_of_viewer()
        with Node("label", style="viewer push"):
            Node("span", "You are", "muted small")
            field = Node("input", value=self.name, placeholder="your name", id="viewer", maxlength=_MOST)
        if caller.name is not None:
            field.put("disabled", True)
            return
        field.put("autocomplete", "nickname")

        def named(event: GenericEventArguments) -> None:
            self.name = str(event.args).strip()[:_MOST]
            field._props["value"] = self.name  # the browser has it already
            remember_name(self.name)

        field.on("change", named, js_handler="(event) => emit(event.target.value)")

    def ask(self) -> None:
        """Have them say it."""
        ui.run_javascript("document.getElementById('viewer').focus()")


def help_dialog(title: str, keys: Mapping[str, str]) -> None:
    """What `?` shows."""
    with Node("dialog", style="panel", id="help"):
        Node("h2", title)
        with Node("dl", style="facts"):
            for pressed, does in keys.items():
                with Node("dt"):
                    Node("kbd", pressed)
                Node("dd", does)
        with Node("form", method="dialog"):
            Node("button", "Close", "button")
