"""The vocabulary's file, and the text of tokens."""

import pytest

from models.speech_to_text.vocabulary import END, read_vocabulary, text_of

FILE = b"".join([b"\x05<unk>", b"\x03<s>", b"\x04</s>", b"\x01\xc3", b"\x01\xa9", b"\x05\xe2\x96\x81Ca", b"\x01f"])


def test_tokens_are_read_in_their_order() -> None:
    tokens = read_vocabulary(FILE)
    assert tokens[:3] == [b"<unk>", b"<s>", b"</s>"]
    assert tokens[-1] == b"f"
    assert read_vocabulary(b"\x00\x01a") == [b"", b"a"]


def test_a_long_token_has_two_bytes_for_its_length() -> None:
    assert read_vocabulary(bytes([128 + 44, 1]) + b"x" * 172 + b"\x01y") == [b"x" * 172, b"y"]


def test_a_file_that_is_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="within token 6"):
        read_vocabulary(FILE[:-1])


def test_text_has_single_spaces_and_bytes_become_symbols() -> None:
    vocabulary = read_vocabulary(FILE)
    assert text_of([5, 6, 3, 4, 5, 6, 6, END], vocabulary) == "Café Caff"
    assert text_of([], vocabulary) == ""
    assert text_of([3], vocabulary) == "\N{REPLACEMENT CHARACTER}"
