"""The input of a batch: files below directories, single files, and `blob://` URIs."""

import json
import os
import uuid
from collections.abc import Callable, Iterable
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from app.errors import SetupError
from app.events.cloudevents import JSON, MAX_ATTRIBUTE_LENGTH, Headers
from app.settings.namespace import qualify

BLOB_SCHEME = "blob://"
_ARRAYS = "application/octet-stream"
_ARRAY_SUFFIXES = {".npy", ".npz", ".onnx", ".parquet"}


def media_kind(content_type: str) -> str:
    """Return what payloads of one task have in common: `image`, `audio`, `text`, or the whole type of others."""
    major = content_type.partition("/")[0]
    return content_type if major == "application" else major


def kind_of_file(path: Path) -> str | None:
    """Return the kind of a file by its name; None if that does not tell."""
    content_type = _ARRAYS if path.suffix in _ARRAY_SUFFIXES else guess_type(path.name)[0]
    return None if content_type is None else media_kind(content_type)


def list_uris(sources: Iterable[str], is_payload: Callable[[Path], bool] = lambda path: True) -> list[str]:
    """Return the URIs to read, in a stable order: `file:///..` of every file that is not hidden, and `blob://` URIs.

    Of a directory, only files for which `is_payload` returns True. Files that are named are read in any case.
    """
    uris = []
    for source in sources:
        path = Path(source)
        if source.startswith(BLOB_SCHEME):
            uris.append(source)
        elif path.is_dir():
            files = (file for file in path.rglob("*") if file.is_file())
            visible = (file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts))
            uris += sorted(file.resolve().as_uri() for file in visible if is_payload(file))
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
    headers = {
        "ce_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{batch}/{uri}")),
        "ce_source": qualify(f"hindsight/batch/{batch}"),
    }
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
