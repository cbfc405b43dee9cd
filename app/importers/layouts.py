"""The layouts of sources: which files describe payloads, and how these are read."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from app.importers import bandit, coco, commonvoice, dsjson, librispeech, ljspeech, manifest, paddleocr, voc, yolo
from app.importers.example import ParsedRow
from app.importers.payload_files import PayloadFiles
from app.importers.source import Source
from models.base import Rejected

Format = Literal[
    "jsonl", "csv", "commonvoice", "ljspeech", "librispeech", "yolo", "coco", "voc", "paddleocr", "bandit", "dsjson"
]

_MAX_DOCUMENT_BYTES = 2 * 1024**3
"""Bound of a COCO document, which is read into memory (that of train2017 has 450 MB)."""
_MAX_NAMES_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """A format: which files can describe payloads, which of them do, and how these are read."""

    suffixes: tuple[str, ...]
    accepts: Callable[[Source, str], bool]
    """Return whether a file with such a name is of this format. Raises `Rejected` with the reason why not."""
    read: Callable[[Source, tuple[str, ...]], Iterator[ParsedRow]]
    choose: Callable[[list[str]], list[str]] = list


def _always(source: Source, uri: str) -> bool:
    return True


def _is_manifest(source: Source, uri: str) -> bool:
    columns = source.columns(uri)
    if "path" not in columns or not columns & {"label", "reward"}:
        first_line = ", ".join(sorted(columns))
        reason = f"its first line has no columns `path` and `label`, or the columns of a log of decisions: {first_line}"
        raise Rejected("no_header", f"{source.display_name(uri)}: {reason}")
    return True


def _is_bandit(source: Source, uri: str) -> bool:
    if uri.lower().endswith(".jsonl"):
        first = next((row for _, row in source.read_rows(uri)), None)
        return isinstance(first, dict) and set(bandit.REQUIRED_COLUMNS) <= first.keys()
    return set(bandit.REQUIRED_COLUMNS) <= source.columns(uri)


def _is_commonvoice(source: Source, uri: str) -> bool:
    columns = source.columns(uri)
    return columns >= commonvoice.COLUMNS and "label" not in columns


def _is_ljspeech(source: Source, uri: str) -> bool:
    return uri.endswith(f"/{ljspeech.NAME}") and ljspeech.is_ljspeech(source.read_lines(uri))


def _is_dsjson(source: Source, uri: str) -> bool:
    return dsjson.is_dsjson(source.read_lines(uri))


def _is_coco(source: Source, uri: str) -> bool:
    document = source.reader.read(uri, _MAX_DOCUMENT_BYTES)
    if not coco.is_coco(document):
        raise Rejected("not_coco", f"{source.display_name(uri)} is not COCO's: it has no images and annotations")
    return True


def _is_voc(source: Source, uri: str) -> bool:
    if b"annotation" not in source.reader.read(uri, voc.MAX_BYTES).replace(b"\0", b""):  # UTF-16 too
        raise Rejected("not_voc", f"{source.display_name(uri)} is not VOC's: it has no <annotation>")
    return True


def _names_classes(source: Source, uri: str) -> bool:
    name = uri.rpartition("/")[2]
    if name.endswith((".yaml", ".yml")):
        document = source.reader.read(uri, _MAX_NAMES_BYTES).replace(b"\0", b"")  # UTF-16
        return re.search(rb"^\W*names\s*:", document, re.MULTILINE) is not None
    return name in yolo.CLASS_FILES


def _is_paddleocr(source: Source, uri: str) -> bool:
    return paddleocr.is_paddleocr(source.read_lines(uri))


def _choose_instances(uris: list[str]) -> list[str]:
    return [uri for uri in uris if "instances" in uri.rpartition("/")[2]] or uris


def _choose_validated(uris: list[str]) -> list[str]:
    return uris if len(uris) == 1 else commonvoice.choose_files(uris)


def _read_manifest(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    for uri in files:
        yield from manifest.read_examples(source.read_rows(uri), partial(source.reader.find, uri))


def _read_commonvoice(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    for uri in files:
        clips = f"{uri.rpartition('/')[0]}/{commonvoice.CLIPS}"
        rows = source.read_rows(uri, {**commonvoice.NAMES, **source.column_names})
        yield from manifest.read_examples(rows, partial(source.reader.find, clips))


def _read_librispeech(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    yield from librispeech.read_examples(source.payloads.values(), source.read_lines)


def _read_ljspeech(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    for uri in files:
        lines, name = source.read_lines(uri), source.display_name(uri)
        yield from ljspeech.read_examples(lines, name, source.path_of(uri), source.payloads)


def _read_paddleocr(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    payloads = PayloadFiles(source.payloads.items())
    for uri in files:
        lines, name = source.read_lines(uri), source.display_name(uri)
        yield from paddleocr.read_examples(lines, name, source.path_of(uri), payloads)


def _read_coco(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    payloads = PayloadFiles(source.payloads.items(), map(source.path_of, files))
    for uri in files:
        document = source.reader.read(uri, _MAX_DOCUMENT_BYTES)
        yield from coco.read_examples(document, source.display_name(uri), payloads, source.path_of(uri))


def _read_voc(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    paths = {source.path_of(uri): uri for uri in files}
    yield from voc.read_examples(
        paths, source.payloads, lambda path: source.reader.read(paths[path], voc.MAX_BYTES), source.is_directory
    )


def _read_yolo(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    documents = {source.path_of(uri): source.reader.read(uri, _MAX_NAMES_BYTES) for uri in files}
    yield from yolo.read_examples(
        source.payloads,
        yolo.read_names(documents),
        lambda path: source.reader.read(source.payloads[path], yolo.MAX_LABEL_BYTES),
        source.picture_size,
    )


def _read_bandit(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    for uri in files:
        yield from bandit.read_examples(partial(source.read_rows, uri), uri)


def _read_dsjson(source: Source, files: tuple[str, ...]) -> Iterator[ParsedRow]:
    for uri in files:
        yield from dsjson.read_examples(source.read_rows(uri, {}))


LAYOUTS: dict[Format, Layout] = {
    "librispeech": Layout((librispeech.TRANSCRIPT_SUFFIX,), _always, _read_librispeech),
    "commonvoice": Layout((".tsv",), _is_commonvoice, _read_commonvoice, _choose_validated),
    "ljspeech": Layout((".csv",), _is_ljspeech, _read_ljspeech),
    "dsjson": Layout((".dsjson", ".jsonl", ".json"), _is_dsjson, _read_dsjson),
    "bandit": Layout((".csv", ".tsv", ".jsonl"), _is_bandit, _read_bandit),
    "jsonl": Layout((".jsonl",), _always, _read_manifest),
    "csv": Layout((".csv", ".tsv"), _is_manifest, _read_manifest),
    "yolo": Layout((".yaml", ".yml", ".txt", ".names"), _names_classes, _read_yolo),
    "coco": Layout((".json",), _is_coco, _read_coco),
    "voc": Layout((".xml",), _is_voc, _read_voc),
    "paddleocr": Layout((".txt",), _is_paddleocr, _read_paddleocr),
}
"""In the order in which they are tried."""
