"""What all downloads of set-up have in common: the errors of a full or read-only cache, and of HINDSIGHT_OFFLINE."""

import errno
from collections.abc import Sequence
from pathlib import Path

from app.errors import SetupError

LOCAL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
"""Errors of this machine's disk: another attempt would not help."""
MAX_ATTEMPTS = 4
TIMEOUT_SECONDS = 30


def unwritable_error(what: str, directory: Path, error: OSError) -> SetupError:
    """Return the error of a cache that can't be written to."""
    return SetupError(
        f"The {what} cannot be written to {directory}: {error.strerror}.",
        "Free some space there, or set HINDSIGHT_CACHE to a directory on a disk that is writable and has 1 GiB free.",
    )


def offline_error(missing: Sequence[str], cache: Path, directory: Path, command: str) -> SetupError:
    """Return the error of files that are not in a directory of the cache, while no network may be used."""
    some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return SetupError(
        f"{some} {'is' if len(missing) == 1 else 'are'} not in {directory}, and HINDSIGHT_OFFLINE forbids the network.",
        f"Run `{command}` in a checkout of the same version on a machine with a network, and copy "
        f"{directory.relative_to(cache)} of its cache (HINDSIGHT_CACHE, ~/.cache/hindsight unless set) to {directory}.",
    )
