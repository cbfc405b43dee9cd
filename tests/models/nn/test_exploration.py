"""The share of traffic that explores is a share."""

from typing import Any

import pytest

from models.nn.exploration import checked_share


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_what_is_no_share_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        checked_share(wrong)
