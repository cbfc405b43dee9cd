"""The password with which the platform's processes log in at the embedded broker. Only its owner can read it."""

from pathlib import Path

from app.system import secret_file

USERNAME = "hindsight"


def path_of(home: Path) -> Path:
    """Return the file of the password."""
    return home.resolve() / "kafka" / "platform.secret"


def load_or_create_password(home: Path) -> str:
    """Return the password; create it if there is none. Raises OSError if the file cannot be read or written."""
    return secret_file.read_or_create(path_of(home))
