"""Text in the encodings of Unicode: split and transcoded whatever the chunks, and invalid where it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.importers.example import RejectedRow
from app.importers.text import decode_document, numbered_lines, split_lines, transcode
from models.base import Rejected

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=2)


def chunked(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(TEXT, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.integers(4, 9))
def test_text_is_the_same_in_each_encoding_and_in_chunks_of_any_size(text: str, encoding: str, size: int) -> None:
    transcoded = b"".join(transcode(iter(chunked(text.encode(encoding), size))))
    assert transcoded.decode("utf-8-sig") == text == decode_document(text.encode(encoding), "x")


@given(st.binary(max_size=99), st.integers(1, 9))
def test_lines_are_those_of_the_whole_file(data: bytes, size: int) -> None:
    assert b"".join(split_lines(chunked(data, size))) == data
    assert all(line.count(b"\n") <= 1 for line in split_lines(chunked(data, size)))


@pytest.mark.parametrize("damage", [b"\x00\xd8", b"a"])
def test_a_line_of_damaged_utf_16_is_rejected(damage: bytes) -> None:
    data = "a\nb".encode("utf-16") + damage
    (_, first), (_, last) = numbered_lines(split_lines(transcode(iter([data]))), "x")
    assert first == "a"
    assert isinstance(last, RejectedRow)


def test_a_document_in_latin_1_is_rejected_with_a_remedy() -> None:
    with pytest.raises(Rejected, match="iconv"):
        decode_document(b"\xe9 or so", "x")
