"""Secrets of a deployment, each in a file of HINDSIGHT_HOME that only its owner can read."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

_SECRET_BYTES = 32


def read_or_create(path: Path, prefix: str = "") -> str:
    """Return the secret in this file. If there is no file, create it with a random secret. Raises OSError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{prefix}{secrets.token_urlsafe(_SECRET_BYTES)}")
            with suppress(FileExistsError):  # another process was faster: its secret counts
                os.link(temporary, path)
        finally:
            Path(temporary).unlink()
    secret = read(path)
    if secret is None:
        raise OSError(f"{path} can't be read")
    return secret


def read(path: Path) -> str | None:
    """Return the secret in this file, or None if there is none or this user may not read it."""
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
