"""Word errors: edits between two texts."""

from collections.abc import Iterable

from rapidfuzz.distance import Levenshtein


def edits(text: str, truth: str) -> int:
    """Return the fewest words that are put in, left out or replaced to make `truth` of `text` (Levenshtein)."""
    return Levenshtein.distance(text.split(), truth.split())


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> float:
    """Return the word error rate of all pairs (text, truth) together: edits over true words."""
    known = list(pairs)
    return sum(edits(*pair) for pair in known) / max(1, sum(len(truth.split()) for _, truth in known))
