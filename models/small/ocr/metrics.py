"""Figures of a version on held-out lines, the same for a model card and for `hindsight evaluate`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from models.nn.calibration import expected_calibration_error

DIGITS, PRINTED = "held_out_digit_lines", "unseen_fonts"
"""The groups of the held-out set: lines of digit scans, and lines in fonts, that no training saw."""
_LINES_RIGHT = {DIGITS: "lines_right_held_out_digits", PRINTED: "lines_right_unseen_fonts"}
_COUNTS = {DIGITS: "held_out_digit_lines", PRINTED: "unseen_font_lines"}


class Read(NamedTuple):
    """The predicted text of a line, its confidence, and the true text."""

    text: str
    confidence: float
    truth: str


def character_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Return the character error rate of all pairs (text, truth) together: edits (Levenshtein) over true symbols."""
    return sum(Levenshtein.distance(text, truth) for text, truth in pairs) / sum(len(truth) for _, truth in pairs)


def right(read: Sequence[Read]) -> NDArray[np.bool_]:
    """Return whether each line is right as a whole."""
    return np.array([line.text == line.truth for line in read])


def calibration_error(read: Sequence[Read]) -> float:
    """Return how far confidence is from the share of lines that are right (`expected_calibration_error`)."""
    return expected_calibration_error(np.array([line.confidence for line in read]), right(read))


def figures(read: Mapping[str, Sequence[Read]]) -> dict[str, float]:
    """Return the figures of each group present, and the calibration error of all lines together."""
    values = {"ece": calibration_error([line for lines in read.values() for line in lines])}
    for group, lines in read.items():
        values[f"cer_{group}"] = character_error_rate([(line.text, line.truth) for line in lines])
        values[_LINES_RIGHT[group]] = float(right(lines).mean())
        values[_COUNTS[group]] = len(lines)
        values[f"ece_{group}"] = calibration_error(lines)
    return values
