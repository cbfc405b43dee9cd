"""`python -m app.api`: the process that serves the API and the pages."""

import logging
import sys

import uvicorn

from app.api.app import create_app
from app.api.connection_limits import BoundedProtocol
from app.auth.middleware import is_loopback
from app.embedded import resource_limits
from app.errors import SetupError
from app.kafka.provisioning import check_shared_state
from app.monitoring.heartbeat import BEAT_SECONDS, Heartbeat
from app.pages.mount import mount
from app.settings import Settings, settings
from app.system import api_tls

log = logging.getLogger(__name__)


def server_config(config: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration. Raises SetupError."""
    certificate_and_key = api_tls.certificate_files(config)
    if certificate_and_key is None and not is_loopback(config.host):
        log.warning(
            "HINDSIGHT_HOST is %s without HTTPS: keys and payloads cross the network in clear text. "
            "Set HINDSIGHT_TLS_CERTIFICATE and HINDSIGHT_TLS_KEY, or put a proxy with TLS in front.",
            config.host,
        )
    app = create_app(config)
    mount(app, app.state.services)
    heartbeat = Heartbeat(config.home)

    async def beat() -> None:
        heartbeat.beat()

    return uvicorn.Config(
        app,
        host=config.host,
        port=config.api_port,
        http=BoundedProtocol,
        proxy_headers=False,  # a local client could claim any address and so evade the log-in's limit
        ssl_certfile=certificate_and_key and certificate_and_key[0],
        ssl_keyfile=certificate_and_key and certificate_and_key[1],
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=10,
        callback_notify=beat,
        timeout_notify=round(BEAT_SECONDS),
    )


def main() -> None:
    """Serve until a signal."""
    resource_limits.raise_file_limit()
    try:
        check_shared_state(settings())
        server = uvicorn.Server(server_config(settings()))
    except SetupError as error:
        sys.exit(str(error))
    server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
