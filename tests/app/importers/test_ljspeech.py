"""LJSpeech's metadata: the text as it is spoken, of each recording once."""

import pytest

from app.importers.example import Example, RejectedRow
from app.importers.ljspeech import is_ljspeech, read_examples

FILES = {"wavs/LJ1.wav": "file:///wavs/LJ1.wav"}


@pytest.mark.parametrize(("line", "text"), [(b"LJ1|Dr. X|doctor x\n", "doctor x"), (b"LJ1|plain\n", "plain")])
def test_the_text_as_it_is_spoken_is_the_truth(line: bytes, text: str) -> None:
    [example] = read_examples([line], "metadata.csv", "metadata.csv", FILES)
    uri = "file:///wavs/LJ1.wav"
    assert example == Example("metadata.csv:1", uri, uri, {"text": text})


def test_a_line_that_is_repeated_or_has_no_text_is_rejected() -> None:
    first, *others = read_examples([b"LJ1|a\n", b"LJ1|b\n", b"LJ1|c|\n", b"LJ1\n"], "x", "x", FILES)
    assert isinstance(first, Example)
    assert all(isinstance(row, RejectedRow) for row in others)
    assert len(others) == 3


@pytest.mark.parametrize(("line", "expected"), [(b"LJ1|a|b\n", True), (b"path,label\n", False), (b"a,b|c\n", False)])
def test_the_first_line_tells_the_layout(line: bytes, expected: bool) -> None:
    assert is_ljspeech([line]) == expected
