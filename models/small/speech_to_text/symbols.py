"""The symbols that the network writes: small letters, the apostrophe and the space. Class 0 is CTC's blank."""

import re
from collections.abc import Iterable

SYMBOLS = "abcdefghijklmnopqrstuvwxyz' "
BLANK = 0
CLASSES = len(SYMBOLS) + 1
SPACE = SYMBOLS.index(" ") + 1

_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}
_PUNCTUATION = re.compile(r"[\s.,;:!?-]+")


def encode(text: str) -> list[int]:
    """Return the numbers of a text's symbols. Raises `KeyError` for a symbol that isn't known."""
    return [_NUMBER[symbol] for symbol in text]


def decode(numbers: Iterable[int]) -> str:
    """Return the text of numbers as `encode` gives them."""
    return "".join(SYMBOLS[number - 1] for number in numbers)


def canonical(text: str) -> str:
    """Return the text in small letters, one space between words, without punctuation, which can't be heard."""
    return _PUNCTUATION.sub(" ", text.lower()).strip()


def unknown_symbols(text: str) -> str:
    """Return the symbols of a text, each once and in order, that the network has no output for."""
    return "".join(dict.fromkeys(symbol for symbol in text if symbol not in _NUMBER))
