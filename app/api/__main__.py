"""`python -m app.api`: the API as a process of its own."""

import logging
import sys

import uvicorn

from app.api.app import create_app
from app.api.connection_limits import BoundedProtocol
from app.auth.middleware import is_loopback
from app.embedded import resource_limits
from app.errors import SetupError
from app.monitoring.heartbeat import BEAT_SECONDS, Heartbeat
from app.pages.mount import mount
from app.settings import Settings, settings
from app.system import api_tls

log = logging.getLogger(__name__)


def server_config(config: Settings) -> uvicorn.Config:
    """Return how the API is served. Raises SetupError."""
    pair = api_tls.certificate_files(config)
    if pair is None and not is_loopback(config.host):
        log.warning(
            "HINDSIGHT_HOST is %s without HTTPS: keys and payloads cross the network in clear. "
            "Set HINDSIGHT_TLS_CERTIFICATE and HINDSIGHT_TLS_KEY, or put a proxy with TLS before it.",
            config.host,
        )
    app = create_app(config)
    mount(app, app.state.parts)
    heart = Heartbeat(config.home)

    async def beat() -> None:
        heart.beat()

    return uvicorn.Config(
        app,
        host=config.host,
        port=config.api_port,
        http=BoundedProtocol,
        proxy_headers=False,  # whoever is on this machine could name any address, and so evade the log-in's limit
        ssl_certfile=pair and pair[0],
        ssl_keyfile=pair and pair[1],
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=10,
        callback_notify=beat,
        timeout_notify=round(BEAT_SECONDS),
    )


def main() -> None:
    """Serves until a signal."""
    resource_limits.raise_file_limit()
    try:
        serving = uvicorn.Server(server_config(settings()))
    except SetupError as error:
        sys.exit(str(error))
    serving.run()
    if not serving.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
