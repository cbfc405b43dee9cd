"""The layout of every page: navigation, the viewer's name, and the help dialog."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

from nicegui import context, ui
from nicegui.events import GenericEventArguments

from app.auth.middleware import LOGOUT_PATH
from app.auth.scopes import Scope, get_caller
from app.pages.elements import Node

STATIC_URL = "/pages"
PAGES = {
    "/": "Overview",
    "/review": "Review",
    "/models": "Models",
    "/replay": "Replay",
    "/dead-letters": "Dead letters",
}
_NAME_COOKIE = "hindsight_name"
_MAX_NAME_LENGTH = 100


@contextmanager
def page(title: str, current_path: str) -> Iterator[Node]:
    """Create the frame of a page; elements created inside are its content."""
    ui.page_title(f"{title} · Hindsight")
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC_URL}/theme.css">')
    with Node("header", style="top"):
        Node("a", "Hindsight", "brand", href="/")
        with Node("nav", aria_label="Pages"):
            for path, name in PAGES.items():
                link = Node("a", name, href=path)
                if path == current_path:
                    link.set_attribute("aria-current", "page")
        if get_caller(context.client.request.scope).session is not None:
            with Node("form", style="push", method="post", action=LOGOUT_PATH):
                Node("button", "Log out", "button plain")
    with Node("main", style="page") as content:
        yield content


def viewer_has_scope(scope: Scope) -> bool:
    """Return whether the viewer has this scope."""
    return scope in get_caller(context.client.request.scope).scopes


def viewer_name() -> str:
    """Return the name that the viewer typed in this browser; empty if there is none."""
    request = context.client.request
    return unquote(request.cookies.get(_NAME_COOKIE, ""))[:_MAX_NAME_LENGTH]


def remember_viewer_name(name: str) -> None:
    """Store the name in this browser."""
    ui.run_javascript(
        f"document.cookie = '{_NAME_COOKIE}=' + encodeURIComponent({name[:_MAX_NAME_LENGTH]!r}) + "
        "'; path=/; max-age=31536000; samesite=strict'"
    )


class Viewer:
    """The viewer's name: the API key's name after login, otherwise the name they typed."""

    def __init__(self) -> None:
        caller = get_caller(context.client.request.scope)
        self.name = caller.name or viewer_name()
        self.on_named: Callable[[], object] = lambda: None
        """Called after the viewer typed a name."""
        with Node("label", style="viewer push"):
            Node("span", "You are", "muted small")
            field = Node("input", value=self.name, placeholder="your name", id="viewer", maxlength=_MAX_NAME_LENGTH)
        if caller.name is not None:
            field.set_attribute("disabled", True)
            return
        field.set_attribute("autocomplete", "nickname")

        def on_change(event: GenericEventArguments) -> None:
            self.set_name(str(event.args))
            field._props["value"] = self.name  # the browser has it already

        field.on("change", on_change, js_handler="(event) => emit(event.target.value)")

    def set_name(self, name: str) -> None:
        """Take the name that the viewer typed, and remember it in this browser."""
        self.name = name.strip()[:_MAX_NAME_LENGTH]
        remember_viewer_name(self.name)
        if self.name:
            self.on_named()

    def ask_name(self) -> None:
        """Move the focus to the name."""
        ui.run_javascript("document.getElementById('viewer').focus()")


def help_dialog(title: str, keys: Mapping[str, str]) -> None:
    """Create the dialog that `?` opens, with the effect of each key."""
    with Node("dialog", style="panel", id="help"):
        Node("h2", title)
        with Node("dl", style="facts"):
            for key, effect in keys.items():
                with Node("dt"):
                    Node("kbd", key)
                Node("dd", effect)
        with Node("form", method="dialog"):
            Node("button", "Close", "button")
