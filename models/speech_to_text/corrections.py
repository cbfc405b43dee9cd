"""Corrections of transcripts: checked, and in the form in which they are kept."""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from models.audio.recording import MAX_SECONDS
from models.base import Rejected

MAX_TEXT = 20_000
"""Symbols: ten minutes of fast speech have half as many."""
_SHAPE = "a correction is {'text': '...'}, with or without {'segments': [{'start': 0.0, 'end': 1.2, 'text': '...'}]}"


def checked_correction(correction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the correction with single spaces, `segments` only if they were given. Raises `Rejected`.

    Case and punctuation stay as they are written. The `confidence` of a segment, which a prediction has, is left out.
    """
    return checked_transcript(correction, _checked_text, {"start", "end", "text", "confidence"})


def checked_transcript(
    correction: Mapping[str, Any], checked_text: Callable[[str], str], segment_fields: set[str]
) -> dict[str, Any]:
    """Return the correction with what `checked_text` makes of its texts. Raises `Rejected`.

    A segment has no other fields than these; its times and its text are kept.
    """
    _check_fields(correction, {"text", "segments"})
    text = checked_text(_text(correction))
    if correction.get("segments") is None:
        return {"text": text}
    segments = correction["segments"]
    if not isinstance(segments, list) or not all(isinstance(segment, Mapping) for segment in segments):
        raise Rejected("bad_segments", f"`segments` must be a list of objects: {_SHAPE}")
    checked_segments: list[dict[str, Any]] = []
    before = 0.0
    for segment in segments:
        _check_fields(segment, segment_fields)
        start, end = _second(segment, "start"), _second(segment, "end")
        if not before <= start <= end:
            raise Rejected("bad_segments", f"a segment from {start:g} s to {end:g} s: they must follow one another")
        checked_segments.append({"start": start, "end": end, "text": checked_text(_text(segment))})
        before = end
    if " ".join(segment["text"] for segment in checked_segments if segment["text"]) != text:
        raise Rejected("segments_differ", "the segments' texts together must be the whole text")
    return {"text": text, "segments": checked_segments}


def _check_fields(given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(str(key) for key in given if key not in known):
        raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; {_SHAPE}")


def _text(given: Mapping[str, Any]) -> str:
    text = given.get("text")
    if not isinstance(text, str):
        raise Rejected("missing_text", f"`text` must be a string: {_SHAPE}")
    return text


def _checked_text(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Rejected("text_too_long", f"{len(text):,} symbols: at most {MAX_TEXT:,} are taken")
    text = " ".join(unicodedata.normalize("NFC", text).split())
    if unwritable := next(
        (symbol for symbol in text if unicodedata.category(symbol) in {"Cc", "Cn", "Co", "Cs"}), None
    ):
        raise Rejected("unknown_symbol", f"{unwritable!r} is no symbol of a written text")
    return text


def _second(segment: Mapping[str, Any], name: str) -> float:
    value = segment.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise Rejected(
            "bad_segments", f"`{name}` of a segment is {value!r}: seconds from 0 to {MAX_SECONDS} are needed"
        )
    return float(value)
