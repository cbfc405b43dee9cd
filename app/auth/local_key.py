"""The key of the deployment's own processes: its commands, its demonstration, Prometheus. It has all scopes, no name.

It is HINDSIGHT_API_KEY, or else a file in HINDSIGHT_HOME that only its owner can read. Creating the first API key locks
the API, but local processes of the same user keep access through this key.
"""

from pathlib import Path

from app.settings import Settings
from app.system import secret_file


def key_path(config: Settings) -> Path:
    """Return the path of the key's file, which is used if the settings have no key."""
    return config.home.resolve() / "local.key"


def load_or_create_key(config: Settings) -> str:
    """Return the key; create it first if there is none. Raises OSError if the home can't be written."""
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    return secret_file.read_or_create(key_path(config), "hs_")


def load_key(config: Settings) -> str | None:
    """Return the key, or None if there is none or this user may not read it."""
    return config.api_key.get_secret_value() if config.api_key is not None else secret_file.read(key_path(config))
