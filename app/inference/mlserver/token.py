"""The secret that MLServer demands: whoever has it may have models run, loaded and unloaded; others see its health."""

import hmac
from collections.abc import Mapping
from pathlib import Path

from app.errors import SetupError
from app.settings import Settings
from app.system import secret_file

HEADER = "authorization"
"""Of HTTP, and of gRPC's metadata."""


def path_of(config: Settings) -> Path:
    """Return where the token is kept, if the settings have none."""
    return config.home.resolve() / "mlserver.token"


def load_or_create(config: Settings) -> str:
    """Return the token of the settings, or else that of the home, made if there is none. Raises SetupError."""
    if config.mlserver_token is not None:
        return config.mlserver_token.get_secret_value()
    path = path_of(config)
    try:
        return secret_file.read_or_create(path)
    except OSError as error:
        raise SetupError(
            f"MLServer's token can't be kept in {path}: {error}.",
            "Make HINDSIGHT_HOME writable, or set HINDSIGHT_MLSERVER_TOKEN.",
        ) from None


def auth_headers(token: str) -> dict[str, str]:
    """Return what a request carries that has the token."""
    return {HEADER: f"Bearer {token}"}


def has_token(headers: Mapping[str, str | bytes], token: str) -> bool:
    """Return whether a request's headers have the token."""
    given = headers.get(HEADER, "")
    return hmac.compare_digest(given if isinstance(given, bytes) else given.encode(), f"Bearer {token}".encode())
