"""Rewards are read as thumbs or as scores, whichever their values are."""

from hypothesis import given
from hypothesis import strategies as st

from models.nn.reward_reading import TOLERANCE, reading

SCORES = st.floats(0.0, 1.0)


@given(SCORES, st.sampled_from([(1.0, -1.0), (1.0, 0.0), (0.3, 0.2)]))
def test_two_values_say_whether_the_output_is_right(score: float, thumbs: tuple[float, float]) -> None:
    explains = reading([*thumbs, thumbs[0]])
    up, down = thumbs
    right = score >= 1 - TOLERANCE
    assert (explains(up, score), explains(down, score)) == (right, not right)


@given(st.lists(st.integers(0, 100), min_size=3, unique=True), SCORES)
def test_more_values_are_scores_of_either_scale(percents: list[int], other: float) -> None:
    scores = [percent / 100 for percent in percents]
    for rewards in (scores, [2 * score - 1 for score in [*scores, 0.0]]):
        explains = reading(rewards)
        for reward, score in zip(rewards, scores, strict=False):
            assert explains(reward, score)
            assert explains(reward, other) or abs(score - other) > TOLERANCE


def test_equal_rewards_say_nothing() -> None:
    explains = reading([-1.0, -1.0])
    assert not any(explains(-1.0, score) for score in (0.0, 0.5, 1.0))
