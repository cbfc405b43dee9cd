"""`python -m app.api`: the API as a process of its own."""

import sys

import uvicorn

from app.api.server import create
from app.embedded.errors import SetupError
from app.monitoring.heartbeat import BEAT_SECONDS, Heartbeat
from app.pages.mount import mount
from app.settings import settings


def main() -> None:
    """Serves until a signal."""
    try:
        app = create(settings())
        mount(app, app.state.parts)
    except SetupError as error:
        sys.exit(str(error))
    heart = Heartbeat(settings().home)

    async def beat() -> None:
        heart.beat()

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings().host,
            port=settings().api_port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=10,
            callback_notify=beat,
            timeout_notify=round(BEAT_SECONDS),
        )
    )
    server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
