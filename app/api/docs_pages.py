"""`/docs` and `/redoc` with scripts from this server: FastAPI's own pages are blank without the internet."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

OPENAPI_PATH = "/openapi.json"
_STATIC_PATH = "/docs/static"
_STATIC_DIRECTORY = Path(fastapi_offline.__file__).parent / "static"


def add_docs_pages(app: FastAPI) -> None:
    """Add the pages to an application that has none of its own."""

    async def swagger(request: Request) -> Response:
        return get_swagger_ui_html(
            openapi_url=OPENAPI_PATH,
            title=app.title,
            swagger_js_url=f"{_STATIC_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{_STATIC_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{_STATIC_PATH}/favicon.png",
        )

    async def redoc(request: Request) -> Response:
        return get_redoc_html(
            openapi_url=OPENAPI_PATH,
            title=app.title,
            redoc_js_url=f"{_STATIC_PATH}/redoc.standalone.js",
            redoc_favicon_url=f"{_STATIC_PATH}/favicon.png",
            with_google_fonts=False,
        )

    app.add_route("/docs", swagger, include_in_schema=False)
    app.add_route("/redoc", redoc, include_in_schema=False)
    app.mount(_STATIC_PATH, StaticFiles(directory=_STATIC_DIRECTORY))
