"""The token that MLServer requires to run, load and unload models. Without it only its health is visible."""

import hmac
from collections.abc import Mapping
from pathlib import Path

from app.errors import SetupError
from app.settings import Settings
from app.system import secret_file

HEADER = "authorization"
"""The name of the HTTP header and of the gRPC metadata."""


def path_of(config: Settings) -> Path:
    """Return the path of the file with the token, which is used if the settings have none."""
    return config.home.resolve() / "mlserver.token"


def load_or_create(config: Settings) -> str:
    """Return the token from the settings, or else from the home, where it is created if needed. Raises SetupError."""
    if config.mlserver_token is not None:
        return config.mlserver_token.get_secret_value()
    path = path_of(config)
    try:
        return secret_file.read_or_create(path)
    except OSError as error:
        raise SetupError(
            f"MLServer's token can't be read from or written to {path}: {error}.",
            "Make HINDSIGHT_HOME writable, or set HINDSIGHT_MLSERVER_TOKEN.",
        ) from None


def auth_headers(token: str) -> dict[str, str]:
    """Return the headers of a request with the token."""
    return {HEADER: f"Bearer {token}"}


def has_token(headers: Mapping[str, str | bytes], token: str) -> bool:
    """Return whether a request's headers have the token."""
    credentials = headers.get(HEADER, "")
    encoded = credentials if isinstance(credentials, bytes) else credentials.encode()
    return hmac.compare_digest(encoded, f"Bearer {token}".encode())
