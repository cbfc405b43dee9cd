"""Secrets of a deployment's own, each in a file of HINDSIGHT_HOME that only its owner can read."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

_SECRET_BYTES = 32


def read_or_create(path: Path, prefix: str = "") -> str:
    """Return the secret in this file, made if there is none yet. Raises OSError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, whole = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{prefix}{secrets.token_urlsafe(_SECRET_BYTES)}")
            with suppress(FileExistsError):  # another process was quicker: its secret is the secret
                os.link(whole, path)
        finally:
            Path(whole).unlink()
    secret = read(path)
    if secret is None:
        raise OSError(f"{path} can't be read")
    return secret


def read(path: Path) -> str | None:
    """Return the secret in this file, if there is one and this user may read it."""
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
