"""Texts become the tokens that the decoder would write."""

from models.speech_to_text.training.encoding import Encoding
from models.speech_to_text.vocabulary import SPACE, text_of

PIECES = [SPACE, b"a", b"b", b"c", b"ab", SPACE + b"a", b"bc", SPACE + b"ab"]
VOCABULARY = [b"<unk>", b"<s>", b"</s>", *(bytes([byte]) for byte in range(256)), *PIECES]
FIRST = VOCABULARY.index(PIECES[0], 259)


def names(text: str) -> list[bytes]:
    return [VOCABULARY[token] for token in Encoding(VOCABULARY).tokens(text)]


def test_the_pieces_that_stand_first_are_merged_first() -> None:
    assert names("ab") == [SPACE + b"ab"]
    assert names("abc a") == [SPACE + b"ab", b"c", SPACE + b"a"]
    assert names("bc") == [SPACE, b"bc"]


def test_a_symbol_is_its_piece_if_it_has_one_and_else_its_bytes() -> None:
    tokens = Encoding(VOCABULARY).tokens("aé")
    assert tokens == [FIRST + 5, 3 + 0xC3, 3 + 0xA9]


def test_tokens_give_the_text_back() -> None:
    for text in ("abc cab", "a, b!", "naïve 日本"):
        assert text_of(Encoding(VOCABULARY).tokens(text), VOCABULARY) == text
