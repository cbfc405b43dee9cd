"""The symbols that a line may hold, and their numbers in the network's output."""

import string
from collections.abc import Iterable

BLANK = 0
SYMBOLS = string.digits + string.ascii_uppercase + string.ascii_lowercase + " "
CLASSES = len(SYMBOLS) + 1
"""Blank first, then the symbols."""

_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS, start=1)}


def encode(text: str) -> list[int]:
    """Return the numbers of a text's symbols. Raises `KeyError` for a symbol that isn't known."""
    return [_NUMBER[symbol] for symbol in text]


def decode(numbers: Iterable[int]) -> str:
    """Return the text of numbers as `encode` gives them."""
    return "".join(SYMBOLS[number - 1] for number in numbers)


def unknown_symbols(text: str) -> str:
    """Return the symbols of a text, each once and in order, that the network has no output for."""
    return "".join(dict.fromkeys(symbol for symbol in text if symbol not in _NUMBER))
