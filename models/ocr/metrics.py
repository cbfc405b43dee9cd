"""What a version is worth on lines that no training saw: one way, for `train`'s card and for `hindsight evaluate`."""

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
    """What a model says of a line, how sure it is, and what the line says in truth."""

    text: str
    confidence: float
    truth: str


def character_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Return the character error rate of all pairs (text, truth) together: edits (Levenshtein) over true symbols."""
    return sum(Levenshtein.distance(text, truth) for text, truth in pairs) / sum(len(truth) for _, truth in pairs)


def right(read: Sequence[Read]) -> NDArray[np.bool_]:
    """Whether each line is right as a whole."""
    return np.array([one.text == one.truth for one in read])


def calibration_error(read: Sequence[Read]) -> float:
    """How far confidence is from the share of lines that are right (`expected_calibration_error`)."""
    return expected_calibration_error(np.array([one.confidence for one in read]), right(read))


def figures(read: Mapping[str, Sequence[Read]]) -> dict[str, float]:
    """The figures of each group that there is, and the calibration error of all lines together."""
    found = {"ece": calibration_error([one for lines in read.values() for one in lines])}
    for group, lines in read.items():
        found[f"cer_{group}"] = character_error_rate([(line.text, line.truth) for line in lines])
        found[_LINES_RIGHT[group]] = float(right(lines).mean())
        found[_COUNTS[group]] = len(lines)
        found[f"ece_{group}"] = calibration_error(lines)
    return found
