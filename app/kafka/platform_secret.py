"""The password by which the platform's own processes log in at the embedded broker: made once, for its owner's eyes."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

USERNAME = "hindsight"
_PASSWORD_BYTES = 32


def path_of(home: Path) -> Path:
    """Where it is kept."""
    return home.resolve() / "kafka" / "platform.secret"


def load_or_create_password(home: Path) -> str:
    """The password, made if there is none yet. Raises OSError where it can't be read, or the home not be written."""
    path = path_of(home)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, whole = tempfile.mkstemp(dir=path.parent, prefix=".platform.secret.")  # with mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(_PASSWORD_BYTES))
            with suppress(FileExistsError):  # another process was quicker: its password is the password
                os.link(whole, path)
        finally:
            Path(whole).unlink()
    return path.read_text().strip()
