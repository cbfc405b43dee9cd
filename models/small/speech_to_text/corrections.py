"""Corrections of transcripts: checked, and in the canonical form that is compared."""

from collections.abc import Mapping
from typing import Any

from models.audio.recording import MAX_SECONDS
from models.base import Rejected
from models.small.speech_to_text.symbols import canonical, unknown_symbols

MAX_TEXT = 10_000
_SHAPE = "a correction is {'text': '...'}, with or without {'segments': [{'start': 0.0, 'end': 1.2, 'text': '...'}]}"


def checked_correction(correction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the correction with its words in canonical form, `segments` only if they were given. Raises `Rejected`."""
    _check_fields(correction, {"text", "segments"})
    text = _words(correction)
    if correction.get("segments") is None:
        return {"text": text}
    segments = correction["segments"]
    if not isinstance(segments, list) or not all(isinstance(segment, Mapping) for segment in segments):
        raise Rejected("bad_segments", f"`segments` must be a list of objects: {_SHAPE}")
    checked_segments: list[dict[str, Any]] = []
    before = 0.0
    for segment in segments:
        _check_fields(segment, {"start", "end", "text"})
        start, end = _second(segment, "start"), _second(segment, "end")
        if not before <= start <= end:
            raise Rejected("bad_segments", f"a segment from {start:g} s to {end:g} s: they must follow one another")
        checked_segments.append({"start": start, "end": end, "text": _words(segment)})
        before = end
    if " ".join(segment["text"] for segment in checked_segments if segment["text"]) != text:
        raise Rejected("segments_differ", "the segments' texts together must be the whole text")
    return {"text": text, "segments": checked_segments}


def _check_fields(given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(str(key) for key in given if key not in known):
        raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; {_SHAPE}")


def _words(given: Mapping[str, Any]) -> str:
    text = given.get("text")
    if not isinstance(text, str):
        raise Rejected("missing_text", f"`text` must be a string: {_SHAPE}")
    if len(text) > MAX_TEXT:
        raise Rejected("text_too_long", f"{len(text)} symbols: at most {MAX_TEXT} are taken")
    text = canonical(text)
    if unknown := unknown_symbols(text):
        raise Rejected(
            "unknown_symbol", f"this model has no symbol for {unknown!r}: write words of a to z, numbers as words too"
        )
    return text


def _second(segment: Mapping[str, Any], name: str) -> float:
    value = segment.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise Rejected(
            "bad_segments", f"`{name}` of a segment is {value!r}: seconds from 0 to {MAX_SECONDS} are needed"
        )
    return float(value)
