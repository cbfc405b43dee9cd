"""The files of a source, found by the names that annotations give them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from models.base import Rejected

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".heic", ".heif")
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".webm", ".amr", ".aiff", ".aif", ".au")

_OUTSIDE = re.compile(r"/|\.\./|[A-Za-z]:|\w+://")
"""How a name begins that is of another machine or folder, as in Label Studio's exports."""


def normalize_path(path: str) -> str:
    """Return a path with slashes, as Unix has them, and composed characters (NFC), whatever system wrote it."""
    return unicodedata.normalize("NFC", path.replace("\\", "/")).removeprefix("./")


def stem_of(path: str) -> str:
    """Return a path without its suffix."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}"


class PayloadFiles:
    """Files by their paths. `documents` are the paths of annotations: each owns the files of its folder.

    `files` are pairs of a path and a URI; paths may be without suffixes.
    """

    def __init__(self, files: Iterable[tuple[str, str]], documents: Iterable[str] = ()) -> None:
        self._owners = {normalize_path(path).rpartition("/")[0] for path in documents}
        self._by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for path, uri in files:
            normalized = normalize_path(path)
            self._by_name[normalized.rpartition("/")[2]].append((normalized, uri))

    def find(self, name: str, document: str = "") -> str:
        """Return the URI of the file that a document means: the one beside it, else the only one of that name.

        A name that is of another machine (`C:\\\\x\\\\a.jpg`, `../../x/a.jpg`) counts by its last part. Files beside
        another document are that document's. Raises `Rejected`.
        """
        wanted = normalize_path(name)
        folder = normalize_path(document).rpartition("/")[0]
        if _OUTSIDE.match(wanted):
            wanted = wanted.rpartition("/")[2]
        below = f"{folder}/" if folder else ""
        matches = [
            (path, uri)
            for path, uri in self._by_name.get(wanted.rpartition("/")[2], ())
            if f"/{path}".endswith(f"/{wanted}") and (path == below + wanted or self._is_free(path, folder))
        ]
        for choice in (
            [uri for path, uri in matches if path == below + wanted],
            [uri for path, uri in matches if path.startswith(below)],
            [uri for _, uri in matches],
        ):
            if len(choice) == 1:
                return choice[0]
            if choice:
                raise Rejected("which_file", f"there is more than one file {name!r}: {', '.join(sorted(choice)[:3])}")
        raise Rejected("no_file", f"there is no file {name!r}")

    def _is_free(self, path: str, folder: str) -> bool:
        """Return whether no document in another folder owns the file."""
        owner = path.rpartition("/")[0]
        while owner and owner not in self._owners:
            owner = owner.rpartition("/")[0]
        return owner not in self._owners or f"{folder}/".startswith(f"{owner}/" if owner else "")
