"""The forms of a correction, a whole text, all lines or some lines by their numbers; and how near an output is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from models.base import Rejected

MAX_TEXT = 100_000
MAX_LINES = 2_000
_FORMS = "{'text': '...'}, {'lines': [{'text': '...'}, ...]} of all lines, or {'lines': [{'line': 3, 'text': '...'}]}"
_KNOWN = {"text", "lines", "unread_pages"}
_OF_A_LINE = {"line", "text", "polygon", "page", "confidence"}


def canonical(correction: Mapping[str, Any]) -> dict[str, Any]:
    """Return `{"text": ...}`, with `lines` if the correction has them. Raises `Rejected`.

    `text` is the given one, or the lines' texts. Lines keep their number (`line`), `text`, `polygon` and `page`.
    """
    if unknown := sorted(str(key) for key in correction if key not in _KNOWN):
        raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; a correction is {_FORMS}")
    if "text" not in correction and "lines" not in correction:
        raise Rejected("missing_text", f"a correction is {_FORMS}")
    lines = [_line(line) for line in _list(correction.get("lines", []))]
    text = _text(correction["text"]) if "text" in correction else "\n".join(line["text"] for line in lines)
    if len(text) > MAX_TEXT:
        raise Rejected("text_too_long", f"{len(text):,} symbols: at most {MAX_TEXT:,} are taken")
    return {"text": text, "lines": lines} if lines else {"text": text}


def _list(lines: Any) -> list[Any]:
    if not isinstance(lines, list) or len(lines) > MAX_LINES:
        raise Rejected("bad_lines", f"`lines` must be a list of at most {MAX_LINES:,} lines; a correction is {_FORMS}")
    return lines


def _line(line: Any) -> dict[str, Any]:
    if not isinstance(line, Mapping) or not _OF_A_LINE.issuperset(line):
        raise Rejected("bad_lines", f"a line has no other fields than {', '.join(sorted(_OF_A_LINE))}")
    kept: dict[str, Any] = {"text": _text(line.get("text"))}
    for name in ("line", "page"):
        if name in line:
            kept[name] = _number(name, line[name])
    if "polygon" in line:
        kept["polygon"] = _polygon(line["polygon"])
    return kept


def _text(text: Any) -> str:
    """Return a text without control characters, and without space at the ends of its lines."""
    if not isinstance(text, str):
        raise Rejected("missing_text", f"`text` must be a string; a correction is {_FORMS}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Rejected("bad_text", "the text has halves of surrogate pairs, which are no characters") from error
    rows = (" ".join("".join(c if c.isprintable() else " " for c in row).split()) for row in text.splitlines())
    return "\n".join(rows).strip("\n")


def _number(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_LINES:
        raise Rejected("bad_lines", f"`{name}` must be a number from 0 to {MAX_LINES - 1}, not {str(value)[:50]}")
    return value


def _polygon(value: Any) -> list[list[float]]:
    try:
        corners = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        corners = np.zeros(0)
    if corners.shape != (4, 2) or not (np.abs(corners) < 1e6).all():
        raise Rejected("bad_lines", "`polygon` must be four corners [x, y] in pixels")
    return [[round(float(x), 1), round(float(y), 1)] for x, y in corners]


def character_errors(text: str, truth: str) -> tuple[int, int]:
    """Return the edits (Levenshtein) from a text to the true one, and the true one's symbols.

    White space of any kind and length counts as one space.
    """
    truth = " ".join(truth.split())
    return Levenshtein.distance(" ".join(text.split()), truth), len(truth)


def errors(output: Mapping[str, Any], correction: Mapping[str, Any]) -> tuple[int, int]:
    """Return the edits from an output to its correction, and the latter's symbols; only of lines that it numbers."""
    named = [line for line in correction.get("lines", ()) if "line" in line]
    if not named:
        return character_errors(output["text"], correction["text"])
    pairs = [character_errors(_text_at(output.get("lines", ()), line), line["text"]) for line in named]
    return sum(edits for edits, _ in pairs), sum(symbols for _, symbols in pairs)


def _text_at(lines: Sequence[Mapping[str, Any]], named: Mapping[str, Any]) -> str:
    """Return what was read where the named line is: by its polygon if it has one, else by its number."""
    if "polygon" not in named:
        return str(lines[named["line"]]["text"]) if named["line"] < len(lines) else ""
    centre = np.mean(named["polygon"], axis=0)
    page = [line for line in lines if line.get("page", 0) == named.get("page", 0)]
    return " ".join(line["text"] for line in page if _contains(line["polygon"], named["polygon"], centre))


def _contains(polygon: Sequence[Sequence[float]], named: Sequence[Sequence[float]], centre: Any) -> bool:
    """Return whether a line's centre lies in the named one's bounds, or the named one's in the line's."""
    own, other = np.array(polygon, np.float64), np.array(named, np.float64)
    return _within(own.mean(axis=0), other) or _within(centre, own)


def _within(point: Any, corners: Any) -> bool:
    return bool((corners.min(axis=0) <= point).all() and (point <= corners.max(axis=0)).all())
