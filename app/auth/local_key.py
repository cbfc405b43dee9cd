"""The key of a deployment's own parts: its commands, its demonstration, Prometheus. It has all scopes and no name.

It is HINDSIGHT_API_KEY, or else what is in HINDSIGHT_HOME, which only its owner can read. So the first key that is made
for somebody closes the API to others, and not to what runs on the machine by its owner, who could make keys as well.
"""

from pathlib import Path

from app.settings import Settings
from app.system import secret_file


def key_path(config: Settings) -> Path:
    """Where the key is kept, if the settings have none."""
    return config.home.resolve() / "local.key"


def load_or_create_key(config: Settings) -> str:
    """The key, made if there is none yet. Raises OSError where the home can't be written."""
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    return secret_file.read_or_create(key_path(config), "hs_")


def load_key(config: Settings) -> str | None:
    """The key, if there is one and this user may read it."""
    return config.api_key.get_secret_value() if config.api_key is not None else secret_file.read(key_path(config))
