"""The format of a source, and its examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from app.errors import SetupError
from app.importers import bandit, coco, librispeech, manifest, tables
from app.importers.example import ParsedRow
from app.importers.locations import SourceReader, resolve_uri, uris_by_path
from models.base import Rejected

Format = Literal["jsonl", "csv", "librispeech", "coco", "bandit"]

_SUFFIXES: dict[Format, tuple[str, ...]] = {
    "librispeech": (librispeech.TRANSCRIPT_SUFFIX,),
    "jsonl": (".jsonl",),
    "csv": (".csv",),
    "coco": (".json",),
    "bandit": (".csv", ".jsonl"),
}
_MAX_DOCUMENT_BYTES = 2 * 1024**3
"""Bound of a COCO document, which is read into memory (that of train2017 has 450 MB)."""


@dataclass(frozen=True)
class ImportSource:
    """An existing source: its URI `root`, and the `files` that describe payloads."""

    root: str
    format: Format
    files: tuple[str, ...]
    all_files: tuple[str, ...]
    """All files of the source, payloads included."""
    reader: SourceReader

    def read_examples(self) -> Iterator[ParsedRow]:
        """Yield the examples, the same at each call. Raises `SetupError` for an invalid document."""
        if self.format == "librispeech":
            yield from librispeech.read_examples(self.all_files, self.reader.read_lines)
        else:
            for uri in self.files:
                yield from _READERS[self.format](self, uri)


def open_source(reader: SourceReader, source: str, requested_format: Format | None) -> ImportSource:
    """Open a source in the requested format, or in the one that its files suggest. Raises `SetupError`."""
    root = reader.resolve_root(source)
    directory = root if root.endswith("/") else f"{root.rpartition('/')[0]}/"
    all_files = reader.list_files(root) if root.endswith("/") else [root]
    for suggested_format, suffixes in _SUFFIXES.items():
        files = [uri for uri in all_files if uri.endswith(suffixes)]
        if not files or requested_format not in (None, suggested_format):
            continue
        file_format = suggested_format
        if requested_format is None and file_format == "csv" and _is_bandit(reader, files[0]):
            file_format = "bandit"
        if file_format == "coco":
            files = [uri for uri in files if "instances" in uri.rpartition("/")[2]] or files
        if file_format in ("coco", "librispeech") and not root.endswith("/"):
            all_files = reader.list_files(_image_root(directory))
        return ImportSource(root, file_format, tuple(files), tuple(all_files), reader)
    all_suffixes = sorted({suffix for suffixes in _SUFFIXES.values() for suffix in suffixes})
    raise SetupError(
        f"There is no file to import at {source}" + (f" as {requested_format}." if requested_format else "."),
        f"Name a file that ends with one of "
        f"{', '.join(_SUFFIXES[requested_format] if requested_format else all_suffixes)}, or its directory.",
    )


def _image_root(directory: str) -> str:
    """Return the folder of the images: COCO's annotations are in a folder beside them."""
    parent, _, name = directory.rstrip("/").rpartition("/")
    return f"{parent}/" if name == "annotations" else directory


def _is_bandit(reader: SourceReader, uri: str) -> bool:
    for _, row in tables.read_csv(reader.read_lines(uri), ""):
        return isinstance(row, dict) and set(bandit.REQUIRED_COLUMNS) <= row.keys()
    return False


def _read_rows(source: ImportSource, uri: str) -> Iterator[tables.TableRow]:
    read = tables.read_jsonl if uri.endswith(".jsonl") else tables.read_csv
    return read(source.reader.read_lines(uri), _display_name(source, uri))


def _display_name(source: ImportSource, uri: str) -> str:
    """Return a file's name for messages: its path below the source."""
    return next(iter(uris_by_path([uri], source.root))) if source.root.endswith("/") else uri.rpartition("/")[2]


def _read_manifest(source: ImportSource, uri: str) -> Iterator[ParsedRow]:
    return manifest.read_examples(_read_rows(source, uri), partial(resolve_uri, uri))


def _read_bandit(source: ImportSource, uri: str) -> Iterator[ParsedRow]:
    return bandit.read_examples(lambda: _read_rows(source, uri), uri)


def _read_coco(source: ImportSource, uri: str) -> Iterator[ParsedRow]:
    directory = source.root if source.root.endswith("/") else _image_root(f"{uri.rpartition('/')[0]}/")
    try:
        document = source.reader.read(uri, _MAX_DOCUMENT_BYTES)
        yield from coco.read_examples(document, _display_name(source, uri), uris_by_path(source.all_files, directory))
    except Rejected as error:
        raise SetupError(f"{uri} can't be imported: {error}.", "Set --format if it is not COCO.") from error


_READERS: dict[Format, Callable[[ImportSource, str], Iterator[ParsedRow]]] = {
    "jsonl": _read_manifest,
    "csv": _read_manifest,
    "coco": _read_coco,
    "bandit": _read_bandit,
}
