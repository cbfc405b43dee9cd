"""`python -m app.api`: the API as a process of its own."""

import logging
import sys

import uvicorn

from app.access import tls
from app.access.guard import is_loopback
from app.api.connections import BoundedProtocol, raise_file_limit
from app.api.server import create
from app.embedded.errors import SetupError
from app.pages.mount import mount
from app.settings import Settings, settings

log = logging.getLogger(__name__)


def server(config: Settings) -> uvicorn.Config:
    """Return how the API is served. Raises SetupError."""
    pair = tls.pair(config)
    if pair is None and not is_loopback(config.host):
        log.warning(
            "HINDSIGHT_HOST is %s without HTTPS: keys and payloads cross the network in clear. "
            "Set HINDSIGHT_TLS_CERTIFICATE and HINDSIGHT_TLS_KEY, or put a proxy with TLS before it.",
            config.host,
        )
    app = create(config)
    mount(app, app.state.parts)
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
    )


def main() -> None:
    """Serves until a signal."""
    raise_file_limit()
    try:
        config = server(settings())
    except SetupError as error:
        sys.exit(str(error))
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
