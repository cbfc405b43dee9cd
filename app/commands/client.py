"""The platform's client, as commands use it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.client import Hindsight


def create_client() -> "Hindsight":
    """Return a client of this deployment, with its own API key."""
    from app.auth import local_key
    from app.client import Hindsight
    from app.embedded.api_readiness import api_url
    from app.settings import settings
    from app.system import api_tls

    config = settings()
    return Hindsight(
        config.bootstrap,
        api_url=api_url(config),
        api_key=local_key.load_key(config),
        verify=api_tls.client_verification(config),
        max_payload_bytes=config.max_payload_bytes,
    )
