"""What a platform may do on its machine: who reads its files, how many it opens."""

import os
import resource
from contextlib import suppress
from pathlib import Path

MAX_OPEN_FILES = 65_536


def restrict_permissions(home: Path) -> None:
    """Payloads, feedback and keys are in the home: only its owner may look into it, and at what is made from now on."""
    os.umask(0o077)
    home.chmod(0o700)


def raise_file_limit() -> None:
    """As many open files as may be: the usual 1,024 end a server that many clients talk to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # a machine that does not allow it
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
