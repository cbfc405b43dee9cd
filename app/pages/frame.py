"""What every page has around it: the way to the others, and who is looking."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from nicegui import context, ui

from app.pages.elements import Node

STATIC = "/pages"
PAGES = {"/": "Overview", "/review": "Review", "/models": "Models"}
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
    with Node("main", style="page") as content:
        yield content


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
