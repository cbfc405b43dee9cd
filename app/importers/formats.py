"""The format of a source, and its examples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from app.errors import SetupError
from app.importers.example import ParsedRow
from app.importers.layouts import LAYOUTS, Format, Layout
from app.importers.locations import SourceReader
from app.importers.source import Source, list_suffixed
from models.base import Rejected


@dataclass(frozen=True)
class ImportSource:
    """A source with its format, the `files` that describe payloads, and those that only seem to."""

    source: Source
    format: Format
    files: tuple[str, ...]
    passed_over: tuple[str, ...]

    @property
    def root(self) -> str:
        """Return the source's URI."""
        return self.source.root

    def read_examples(self) -> Iterator[ParsedRow]:
        """Yield the examples, the same at each call. Raises `SetupError` for an invalid document."""
        try:
            yield from LAYOUTS[self.format].read(self.source, self.files)
        except Rejected as error:
            raise SetupError(
                f"{self.root} can't be imported as {self.format}: {error}.",
                "Repair the file, or set --format if it is another one.",
            ) from error


def open_source(
    reader: SourceReader, location: str, requested_format: Format | None, column_names: Mapping[str, str] | None = None
) -> ImportSource:
    """Open a source in the requested format, or in the first one that its files have. Raises `SetupError`.

    `column_names` are what the columns of tables are renamed to.
    """
    root = reader.resolve_root(location)
    files = tuple(reader.list_files(root)) if root.endswith("/") else (root,)
    source = Source(root, files, reader, column_names or {})
    reasons: dict[str, str] = {}
    for file_format, layout in LAYOUTS.items():
        if requested_format not in (None, file_format):
            continue
        refused: dict[str, str] = {}
        candidates = list_suffixed(files, *layout.suffixes)
        accepted = [uri for uri in candidates if _accepts(layout, source, uri, refused)]
        if chosen := layout.choose(accepted):
            passed_over = [*refused, *(uri for uri in accepted if uri not in chosen)]
            return ImportSource(source, file_format, tuple(chosen), tuple(passed_over))
        reasons |= refused
    suffixes = {end for name, layout in LAYOUTS.items() if requested_format in (None, name) for end in layout.suffixes}
    raise SetupError(
        f"There is no file to import at {location}"
        + (f" as {requested_format}" if requested_format else "")
        + "".join(f"; {reason}" for reason in [*reasons.values()][:3])
        + ".",
        f"Name a file that ends with one of {', '.join(sorted(suffixes))}, or its directory. Tables need a first line "
        f"with the names of their columns; --map file=path names a column.",
    )


def _accepts(layout: Layout, source: Source, uri: str, refused: dict[str, str]) -> bool:
    try:
        return layout.accepts(source, uri)
    except Rejected as error:
        refused[uri] = str(error)
        return False
