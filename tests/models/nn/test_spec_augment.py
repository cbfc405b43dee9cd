"""Bands of a distorted line are zero, the rest is as it was."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.nn.spec_augment import COLUMN_BANDS, COLUMN_SHARE, ROW_SHARE, masked


@given(st.integers(1, 30), st.integers(1, 200), st.integers(0, 2**32))
def test_at_most_a_share_of_the_rows_and_columns_is_set_to_zero(height: int, width: int, seed: int) -> None:
    signal = np.full((height, width), 7, np.uint8)
    distorted = masked(signal, np.random.default_rng(seed))
    assert (signal == 7).all()
    assert distorted.shape == signal.shape and distorted.dtype == signal.dtype
    hidden = distorted == 0
    assert (distorted[~hidden] == 7).all()
    rows, columns = hidden.all(axis=1), hidden.all(axis=0)
    assert (hidden == (rows[:, None] | columns)).all()
    assert rows.sum() <= ROW_SHARE * height
    assert columns.sum() <= COLUMN_BANDS * COLUMN_SHARE * width
