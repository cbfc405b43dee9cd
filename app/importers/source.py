"""An existing source: its files, and how they are read."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from app.importers import tables
from app.importers.locations import SourceReader, uris_by_path
from models.base import Rejected
from models.vision.files import read_upright

_MAX_PICTURE_BYTES = 64 * 1024 * 1024
_ANNOTATION_FOLDERS = ("annotations", "labels")


@dataclass(frozen=True)
class Source:
    """A directory, whose `root` ends with a slash, or a file. `files` are those to choose from."""

    root: str
    files: tuple[str, ...]
    reader: SourceReader
    column_names: Mapping[str, str] = field(default_factory=dict)
    """What the columns of its tables are renamed to."""

    @property
    def is_directory(self) -> bool:
        """Return whether it is a directory."""
        return self.root.endswith("/")

    @cached_property
    def directory(self) -> str:
        """The folder of the payloads: annotations may be in a folder beside them."""
        if self.is_directory:
            return self.root
        folder = self.root.rpartition("/")[0]
        parent, _, name = folder.rpartition("/")
        return f"{parent}/" if name.lower() in _ANNOTATION_FOLDERS else f"{folder}/"

    @cached_property
    def payloads(self) -> dict[str, str]:
        """The URIs of all files of the folder, by their paths below it."""
        uris = self.files if self.is_directory else self.reader.list_files(self.directory)
        return uris_by_path(uris, self.directory)

    def path_of(self, uri: str) -> str:
        """Return a file's path below the folder of the payloads."""
        return next(iter(uris_by_path([uri], self.directory)))

    def display_name(self, uri: str) -> str:
        """Return a file's name for messages: its path below the source."""
        return self.path_of(uri) if self.is_directory else uri.rpartition("/")[2]

    def read_lines(self, uri: str) -> Iterator[bytes]:
        """Yield the lines of a file."""
        return self.reader.read_lines(uri)

    def read_rows(self, uri: str, names: Mapping[str, str] | None = None) -> Iterator[tables.TableRow]:
        """Yield the rows of a table, its columns renamed, by default as the user wants."""
        rows = tables.read_table(self.read_lines(uri), self.display_name(uri))
        return tables.rename_columns(rows, self.column_names if names is None else names)

    def columns(self, uri: str) -> set[str]:
        """Return the names of a table's columns, renamed as the user wants. Raises `Rejected`."""
        name = self.display_name(uri)
        header = tables.read_header(self.read_lines(uri), name)
        if missing := sorted(self.column_names.keys() - set(header)):
            raise Rejected("bad_header", f"{name} has no column {', '.join(missing)}; it has: {', '.join(header)}")
        return {self.column_names.get(column, column) for column in header}

    def picture_size(self, path: str) -> tuple[int, int]:
        """Return the width and height of an upright picture, by its path. Raises `Rejected`."""
        if path not in self._picture_sizes:
            picture = self.reader.read(self.payloads[path], _MAX_PICTURE_BYTES)
            upright = read_upright(picture)
            self._picture_sizes[path] = (upright.width, upright.height)
        return self._picture_sizes[path]

    @cached_property
    def _picture_sizes(self) -> dict[str, tuple[int, int]]:
        return {}


def list_suffixed(uris: Iterable[str], *suffixes: str) -> list[str]:
    """Return the files whose names end with one of these, in large or small letters."""
    return [uri for uri in uris if uri.lower().endswith(suffixes)]
