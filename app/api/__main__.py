"""`python -m app.api`: the API as a process of its own."""

import sys

import uvicorn

from app.api.server import create
from app.embedded.errors import SetupError
from app.pages.mount import mount
from app.settings import settings


def main() -> None:
    """Serves until a signal."""
    try:
        app = create(settings())
        mount(app, app.state.parts)
    except SetupError as error:
        sys.exit(str(error))
    uvicorn.run(
        app,
        host=settings().host,
        port=settings().api_port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
