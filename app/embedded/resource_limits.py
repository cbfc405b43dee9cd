"""File permissions and the limit of open files."""

import os
import resource
from contextlib import suppress
from pathlib import Path

MAX_OPEN_FILES = 65_536


def restrict_permissions(home: Path) -> None:
    """Let only the owner read the home, and files created from now on: they hold payloads, feedback and keys."""
    os.umask(0o077)
    home.chmod(0o700)


def raise_file_limit() -> None:
    """Raise the limit of open files as far as allowed: many clients need more than the default of 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(OSError, ValueError):  # not every machine allows it
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
