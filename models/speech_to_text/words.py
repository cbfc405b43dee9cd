"""The words of a text as they are compared: how a voice says them, not how a hand writes them.

Small letters; no punctuation but the apostrophe in a word; a hyphen or a dash parts two words; whole numbers in words.
None of this can be heard, so it doesn't count as an error.
"""

import re
import unicodedata

_APOSTROPHES = str.maketrans(dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}`", "'"))
_WORD = re.compile(r"\d+|[^\W\d]+(?:'[^\W\d]+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS = ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
_MOST = 1_000_000_000
"""Longer numbers are those of telephones and accounts: they are read digit by digit."""


def spoken(text: str) -> str:
    """Return the words, one space between them."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = text.translate(_APOSTROPHES).replace("_", " ")
    words = _WORD.findall(_THOUSANDS.sub("", text))
    return " ".join(_number(word) if word.isdecimal() else word for word in words)


def _number(digits: str) -> str:
    if len(digits) > 1 and (digits.startswith("0") or int(digits) >= _MOST):
        return " ".join(_ONES[int(digit)] for digit in digits)
    return _cardinal(int(digits))


def _cardinal(number: int) -> str:
    for size, unit in _UNITS:
        if number >= size:
            rest = f" {_cardinal(number % size)}" if number % size else ""
            return f"{_cardinal(number // size)} {unit}{rest}"
    if number < len(_ONES):
        return _ONES[number]
    return _TENS[number // 10 - 2] + (f" {_ONES[number % 10]}" if number % 10 else "")
