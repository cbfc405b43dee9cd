"""How a worker reads the payload that a claim check names: a blob, or in a batch a file."""

import logging
import time
from collections.abc import Callable

from app.preprocess.files import path_of
from models.base import Rejected

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


def reject_file_claims(get: Callable[[str, int], bytes]) -> Callable[[str, int], bytes]:
    """Wrap a reader of blobs: a `file://` claim, made for a file that could not be sent inline, raises `Rejected`."""

    def fetch(uri: str, limit: int) -> bytes:
        if not uri.startswith("file://"):
            return get(uri, limit)
        try:
            size = path_of(uri).stat().st_size
        except OSError as error:
            raise Rejected("unreadable", f"{uri} can't be read: {error}") from error
        if size > limit:
            raise Rejected("too_large", f"{uri} has {size:,} bytes; at most {limit:,} are taken")
        raise Rejected("unreadable", f"{uri} can't be read: permission is denied")

    return fetch


def retry_forever(get: Callable[[str, int], bytes]) -> Callable[[str, int], bytes]:
    """Wrap a reader of blobs: while the blob store is unavailable, events wait and none is lost."""

    def fetch(uri: str, limit: int) -> bytes:
        while True:
            try:
                return get(uri, limit)
            except OSError as error:
                log.warning("blob storage is unavailable, %s waits: %s", uri, error)
                time.sleep(_RETRY_SECONDS)

    return fetch
