"""Softened probabilities are those of divided logits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.nn.ctc_evaluation import softened


@given(seed=st.integers(0, 999), temperature=st.floats(0.3, 5.0))
def test_softening_divides_the_logits(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, (2, 5, 4))

    def log_probs(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values - np.log(np.exp(values).sum(axis=-1, keepdims=True)))

    np.testing.assert_allclose(softened(log_probs(logits), temperature), log_probs(logits / temperature), atol=1e-4)
