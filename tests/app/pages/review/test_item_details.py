from typing import Any

import pytest

from app.pages.review.item_details import describe_feedback


@pytest.mark.parametrize(
    ("feedback", "text"),
    [
        ({"correction": {"text": "4711"}}, "corrected to 4711"),
        ({"reward": 0.5}, "rewarded with 0.5"),
        ({"reward": 1.0, "reward_name": "click", "position": 2}, "rewarded with 1 for click in position 2"),
        ({"accepted": False}, "wrong"),
        ({"preference": {"output": {"text": "4711"}, "better": True}}, "better is 4711"),
        ({"preference": {"output": {"text": "47"}, "better": False}, "accepted": True}, "worse is 47, right"),
    ],
)
def test_all_that_feedback_says_is_described(feedback: dict[str, Any], text: str) -> None:
    assert describe_feedback(feedback) == text
