"""The key of a deployment's own parts: its commands, its demonstration, Prometheus. It has all scopes and no name.

It is HINDSIGHT_API_KEY, or else what is in HINDSIGHT_HOME, which only its owner can read. So the first key that is made
for somebody closes the API to others, and not to what runs on the machine by its owner, who could make keys as well.
"""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from app.settings import Settings

_BYTES = 32


def path_of(config: Settings) -> Path:
    """Where the key is kept, if the settings have none."""
    return config.home.resolve() / "local.key"


def make(config: Settings) -> str:
    """The key, made if there is none yet. Raises OSError where the home can't be written."""
    path = path_of(config)
    if config.api_key is None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, whole = tempfile.mkstemp(dir=path.parent, prefix=".local.key.")  # with mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"hs_{secrets.token_urlsafe(_BYTES)}")
            with suppress(FileExistsError):  # another process was quicker: its key is the key
                os.link(whole, path)
        finally:
            Path(whole).unlink()
    key = find(config)
    if key is None:
        raise OSError(f"{path} can't be read")
    return key


def find(config: Settings) -> str | None:
    """The key, if there is one and this user may read it."""
    if config.api_key is not None:
        return config.api_key.get_secret_value()
    try:
        return path_of(config).read_text().strip() or None
    except OSError:
        return None
