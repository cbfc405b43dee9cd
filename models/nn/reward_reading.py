"""Read rewards as observations of scores: how the task would score an output against the truth that nobody gave."""

from collections.abc import Callable, Sequence

TOLERANCE = 0.005
"""A reward may be a score that was rounded to two digits."""

Reading = Callable[[float, float], bool]
"""Return whether a score, from 0 to 1, explains a reward."""


def reading(rewards: Sequence[float]) -> Reading:
    """Return how to read rewards such as these.

    One value alone is explained by nothing. Two values are thumbs: the higher one says that the output is right, the
    lower one that it is not. More values are scores, or 2 * score - 1 where any is below 0.
    """
    values = set(rewards)
    if len(values) < 2:
        return lambda reward, score: False
    if len(values) == 2:
        return lambda reward, score: (reward == max(values)) == (score >= 1 - TOLERANCE)
    low = -1.0 if min(values) < 0 else 0.0
    return lambda reward, score: abs((reward - low) / (1 - low) - score) <= TOLERANCE
