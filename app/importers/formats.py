"""In which form a source is, and its examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from app.errors import SetupError
from app.importers import bandit, coco, librispeech, manifest, tables
from app.importers.example import Found
from app.importers.locations import Places, named, resolved
from models.base import Rejected

Format = Literal["jsonl", "csv", "librispeech", "coco", "bandit"]

_SUFFIXES: dict[Format, tuple[str, ...]] = {
    "librispeech": (librispeech.TRANSCRIPT,),
    "jsonl": (".jsonl",),
    "csv": (".csv",),
    "coco": (".json",),
    "bandit": (".csv", ".jsonl"),
}
_MAX_DOCUMENT = 2 * 1024**3
"""Bytes of COCO's annotations, which are read whole (those of train2017 are 450 MB)."""


@dataclass(frozen=True)
class Source:
    """A source that is there: `root` is its URI, `files` what of it says something of payloads."""

    root: str
    format: Format
    files: tuple[str, ...]
    below: tuple[str, ...]
    """All files there, payloads as well."""
    places: Places

    def examples(self) -> Iterator[Found]:
        """Its examples, the same each time. Raises `SetupError` for a document that is none."""
        if self.format == "librispeech":
            yield from librispeech.examples(self.below, self.places.lines)
        else:
            for uri in self.files:
                yield from _READERS[self.format](self, uri)


def opened(places: Places, source: str, wanted: Format | None) -> Source:
    """The source, in the form that is wanted, or looks right. Raises `SetupError`."""
    root = places.root(source)
    directory = root if root.endswith("/") else f"{root.rpartition('/')[0]}/"
    below = places.files(root) if root.endswith("/") else [root]
    for kind, suffixes in _SUFFIXES.items():
        files = [uri for uri in below if uri.endswith(suffixes)]
        if not files or wanted not in (None, kind):
            continue
        if wanted is None and kind == "csv" and _is_bandit(places, files[0]):
            kind = "bandit"  # noqa: PLW2901
        if kind == "coco":
            files = [uri for uri in files if "instances" in uri.rpartition("/")[2]] or files
        if kind in ("coco", "librispeech") and not root.endswith("/"):
            below = places.files(_around(directory))
        return Source(root, kind, tuple(files), tuple(below), places)
    looked = ", ".join(sorted({suffix for suffixes in _SUFFIXES.values() for suffix in suffixes}))
    raise SetupError(
        f"There is nothing to import at {source}" + (f" as {wanted}." if wanted else "."),
        f"It needs a file that ends with one of {', '.join(_SUFFIXES[wanted]) if wanted else looked}.",
    )


def _around(directory: str) -> str:
    """Where the images are: COCO has its annotations in a folder beside them."""
    parent, _, name = directory.rstrip("/").rpartition("/")
    return f"{parent}/" if name == "annotations" else directory


def _is_bandit(places: Places, uri: str) -> bool:
    for _, row in tables.csv_rows(places.lines(uri), ""):
        return isinstance(row, dict) and set(bandit.NEEDED) <= row.keys()
    return False


def _rows(source: Source, uri: str) -> Iterator[tables.Row]:
    read = tables.jsonl if uri.endswith(".jsonl") else tables.csv_rows
    return read(source.places.lines(uri), _name(source, uri))


def _name(source: Source, uri: str) -> str:
    """A file's name, for people: its path below the source."""
    return next(iter(named([uri], source.root))) if source.root.endswith("/") else uri.rpartition("/")[2]


def _manifest(source: Source, uri: str) -> Iterator[Found]:
    return manifest.examples(_rows(source, uri), partial(resolved, uri))


def _bandit(source: Source, uri: str) -> Iterator[Found]:
    return bandit.examples(lambda: _rows(source, uri), uri)


def _coco(source: Source, uri: str) -> Iterator[Found]:
    directory = source.root if source.root.endswith("/") else _around(f"{uri.rpartition('/')[0]}/")
    try:
        document = source.places.read(uri, _MAX_DOCUMENT)
        yield from coco.examples(document, _name(source, uri), named(source.below, directory))
    except Rejected as error:
        raise SetupError(f"{uri} can't be imported: {error}.", "--format says what it is, if it is no COCO.") from error


_READERS: dict[Format, Callable[[Source, str], Iterator[Found]]] = {
    "jsonl": _manifest,
    "csv": _manifest,
    "coco": _coco,
    "bandit": _bandit,
}
