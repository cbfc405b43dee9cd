"""Model cards: JSON objects that describe a version, with its `figures` as measured on the task's held-out set."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from app.errors import SetupError

DRIFT_REFERENCE = "reference"
"""The key of the drift reference, which retraining adds to a card. A corrected card keeps it."""
_REMEDY = 'Write a JSON object, such as {"figures": {"wer": 0.1}}, in it.'


def parse_card(content: bytes, name: str) -> dict[str, Any]:
    """Return the card in a file of this name. Raises `SetupError` if it is no card: see `card_figures`."""
    try:
        card = json.loads(content)
        json.dumps(card, allow_nan=False, ensure_ascii=False).encode()  # half surrogate pairs can't be written
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{name} is not a valid card: it is not JSON: {error}.", _REMEDY) from error
    if not isinstance(card, dict):
        raise SetupError(f"{name} is not a valid card: it is not a JSON object.", _REMEDY)
    card_figures(card, name)
    return card


def card_figures(card: Mapping[str, Any], name: str) -> dict[str, float]:
    """Return the figures of a card; none if it has none. Raises `SetupError` if they are not numbers by name."""
    figures = card.get("figures", {})
    if not isinstance(figures, dict):
        raise SetupError(f"{name} is not a valid card: its figures are not a JSON object.", _REMEDY)
    for figure, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
            raise SetupError(f"{name} is not a valid card: its figure {figure!r} is not a number.", _REMEDY)
    return {figure: float(value) for figure, value in figures.items()}
