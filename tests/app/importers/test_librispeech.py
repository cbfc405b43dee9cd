"""LibriSpeech's layout: recordings with their lines, and rejected recordings and lines."""

from collections.abc import Iterator

from app.importers.example import Example, RejectedRow
from app.importers.librispeech import read_examples

CHAPTER = "file:///LibriSpeech/84/121123"
TEXT = b"84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT\n84-121123-0002\n84-121123-0003 \xff\n"
LINES = {f"{CHAPTER}/84-121123.trans.txt": TEXT}
FILES = [*LINES, f"{CHAPTER}/84-121123-0000.flac", f"{CHAPTER}/84-121123-0002.flac", f"{CHAPTER}/84-121123-0009.flac"]


def lines(uri: str) -> Iterator[bytes]:
    yield from LINES[uri].splitlines(True)


def test_a_recording_has_its_text_and_its_speaker() -> None:
    examples = [row for row in read_examples(FILES, lines) if isinstance(row, Example)]
    uri = f"{CHAPTER}/84-121123-0000.flac"
    assert examples == [Example("84-121123.trans.txt:1", uri, uri, {"text": "GO DO YOU HEAR"}, entity="speaker 84")]


def test_a_recording_without_a_line_and_a_line_without_a_recording_are_rejected() -> None:
    codes = {row.where: row.code for row in read_examples(FILES, lines) if isinstance(row, RejectedRow)}
    assert codes == {
        "84-121123.trans.txt:2": "no_audio",
        "84-121123.trans.txt:3": "no_text",
        "84-121123.trans.txt:4": "not_utf8",
        "84-121123-0009.flac": "no_transcript",
    }
