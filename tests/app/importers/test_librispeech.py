"""LibriSpeech's layout: each recording with its line, and what has no other half."""

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
    found = [one for one in read_examples(FILES, lines) if isinstance(one, Example)]
    uri = f"{CHAPTER}/84-121123-0000.flac"
    assert found == [Example("84-121123.trans.txt:1", uri, uri, {"text": "GO DO YOU HEAR"}, entity="speaker 84")]


def test_what_has_no_other_half_is_said() -> None:
    found = {one.where: one.code for one in read_examples(FILES, lines) if isinstance(one, RejectedRow)}
    assert found == {
        "84-121123.trans.txt:2": "no_audio",
        "84-121123.trans.txt:3": "no_text",
        "84-121123.trans.txt:4": "not_utf8",
        "84-121123-0009.flac": "no_transcript",
    }
