"""The input of a batch: files below directories, single files, and `blob://` URIs."""

import json
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from app.errors import SetupError
from app.events.cloudevents import JSON, MAX_ATTRIBUTE_LENGTH, Headers

BLOB_SCHEME = "blob://"


def list_uris(sources: Iterable[str]) -> list[str]:
    """Return the URIs to read, in a stable order: `file:///..` of every file that is not hidden, and `blob://` URIs."""
    uris = []
    for source in sources:
        path = Path(source)
        if source.startswith(BLOB_SCHEME):
            uris.append(source)
        elif path.is_dir():
            files = (file for file in path.rglob("*") if file.is_file())
            visible = (file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts))
            uris += sorted(file.resolve().as_uri() for file in visible)
        elif path.is_file():
            uris.append(path.resolve().as_uri())
        else:
            raise SetupError(f"{source} is neither a file, a directory nor a blob:// URI.", "Check the path.")
    return uris


def path_of(uri: str) -> Path:
    """Return the path of a file:// URI, whatever bytes its name has."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def build_request(uri: str, batch: str, limit: int) -> tuple[bytes, Headers]:
    """Return the value and headers of a payload's request.

    The value is a file's bytes, or a claim check of a blob, of a file above `limit` bytes, or of a file that can't be
    read: preprocessing then rejects it with the reason.
    """
    headers = {"ce_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{batch}/{uri}")), "ce_source": f"hindsight/batch/{batch}"}
    if len(uri) <= MAX_ATTRIBUTE_LENGTH:
        headers["ce_subject"] = uri
    value = None
    if not uri.startswith(BLOB_SCHEME):
        try:
            with path_of(uri).open("rb") as file:
                value = file.read(limit + 1)
        except OSError:
            value = None
    if value is None or len(value) > limit:
        value = json.dumps({"uri": uri}).encode()
        headers["content-type"] = JSON
    return value, tuple((name, text.encode()) for name, text in headers.items())
