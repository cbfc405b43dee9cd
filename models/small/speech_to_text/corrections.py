"""Corrections of transcripts: checked, and in the canonical form that is compared."""

from collections.abc import Mapping
from typing import Any

from models.base import Rejected
from models.small.speech_to_text.symbols import canonical, unknown_symbols
from models.speech_to_text.corrections import checked_transcript

MAX_TEXT = 10_000


def checked_correction(correction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the correction with its words in canonical form, `segments` only if they were given. Raises `Rejected`."""
    return checked_transcript(correction, _words, {"start", "end", "text"})


def _words(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise Rejected("text_too_long", f"{len(text)} symbols: at most {MAX_TEXT} are taken")
    text = canonical(text)
    if unknown := unknown_symbols(text):
        raise Rejected(
            "unknown_symbol", f"this model has no symbol for {unknown!r}: write words of a to z, numbers as words too"
        )
    return text
