"""Mounting of the pages on the application, once in a process: NiceGUI has one global application."""

from pathlib import Path

from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui
from starlette.routing import Match, Mount
from starlette.types import Scope

from app.pages import dead_letters, layout, replay, websocket_messages
from app.pages.overview import page as overview
from app.pages.registry import comparison
from app.pages.registry import page as models
from app.pages.review import page as review
from app.services.services import Services

STATIC_DIRECTORY = Path(__file__).parent / "static"
_NICEGUI = "/_nicegui"
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_API_PATHS = ("/v1/", "/docs", "/redoc", "/openapi.json")


class _PagesMount(Mount):
    """The pages at all paths that are left. Unknown paths of the API, and unsafe methods, give errors in JSON."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match everything but the API's paths and unsafe methods."""
        path = str(scope.get("path", ""))
        unsafe = scope["type"] == "http" and scope["method"] not in _SAFE_METHODS and not path.startswith(_NICEGUI)
        if path == "/v1" or path.startswith(_API_PATHS) or unsafe:
            return Match.NONE, {}
        return super().matches(scope)


def mount(app: FastAPI, services: Services) -> None:
    """Add the pages to the application, after all of its routes."""
    nicegui_app.add_static_files(layout.STATIC_URL, STATIC_DIRECTORY, max_cache_age=60)
    for page in (overview, review, models, comparison, replay, dead_letters):
        page.register(services)
    ui.run_with(
        app,
        title="Hindsight",
        favicon=STATIC_DIRECTORY / "icon.svg",
        dark=None,
        tailwind=False,
        reconnect_timeout=10,
        show_welcome_message=False,
    )
    app.router.routes[-1] = _PagesMount("/", nicegui_app)
    websocket_messages.install_message_checks()
