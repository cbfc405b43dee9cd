"""What the policies of all exploring tasks share. Only numpy: this runs at serving time."""

import numpy as np

MIN_PROPENSITY = float(np.finfo(np.float64).tiny)
"""A propensity is above 0: outputs less probable than the smallest float have this one."""


def checked_share(explore: float) -> float:
    """Return the option if it is a share. Raises `ValueError`, as a task's `__init__` does for its options."""
    if isinstance(explore, bool) or not isinstance(explore, int | float) or not 0 <= explore <= 1:
        raise ValueError(f"explore is the share of traffic whose output is drawn, from 0 to 1, not {explore!r}")
    return float(explore)
