"""LJSpeech's layout (keithito.com/LJ-Speech-Dataset): `metadata.csv`, and the recordings in `wavs/` beside it."""

from collections.abc import Iterable, Iterator

from app.importers.example import Example, ParsedRow, RejectedRow
from app.importers.payload_files import AUDIO_SUFFIXES, PayloadFiles, stem_of
from app.importers.text import numbered_lines
from models.base import Rejected

NAME = "metadata.csv"


def is_ljspeech(lines: Iterable[bytes]) -> bool:
    """Return whether a file begins like LJSpeech's metadata: an id and one or two texts between `|`."""
    _, first = next(numbered_lines(lines, ""), ("", ""))
    return isinstance(first, str) and first.count("|") in (1, 2) and "," not in first.partition("|")[0]


def read_examples(lines: Iterable[bytes], name: str, path: str, files: dict[str, str]) -> Iterator[ParsedRow]:
    """Yield the recordings of a metadata file, which has no header: `id|text|text as it is spoken`.

    `path` is the file's among the `files`, URIs by path. The text as it is spoken is the truth, if there is one. A line
    without a recording, and a recording without a line, are rejected.
    """
    folder = f"{path.rpartition('/')[0]}/wavs/".removeprefix("/")
    recordings = {file: uri for file, uri in files.items() if file.startswith(folder) and file.endswith(AUDIO_SUFFIXES)}
    by_stem = PayloadFiles((stem_of(file), uri) for file, uri in recordings.items())
    named: set[str] = set()
    for where, line in numbered_lines(lines, name):
        try:
            if isinstance(line, RejectedRow):
                raise Rejected(line.code, line.reason)
            recording, *texts = (cell.strip() for cell in line.split("|"))
            if len(texts) not in (1, 2) or not texts[-1]:
                raise Rejected("bad_row", f"the row has {len(texts) + 1} cells: `id|text|spoken text` is needed")
            uri = by_stem.find(f"{folder}{recording.removesuffix('.wav')}")
            if uri in named:
                raise Rejected("repeated", f"an earlier line is of {recording} too")
            named.add(uri)
            yield Example(where, uri, uri, {"text": texts[-1]})
        except Rejected as error:
            yield RejectedRow(where, error.code, str(error))
    for file, uri in sorted(recordings.items()):
        if uri not in named:
            yield RejectedRow(file, "no_transcript", f"{name} has no line for it")
