"""Aggregation of the rewards of a prediction into one. Pure, used live and in replays.

reward = clip(sum over names n of weight(n) * combine(n)(the rewards of n within window(n)), -1, 1)

The rewards of a name are those of all actors, in order of time: of several without a name the latest counts, because it
is a measurement that may be repeated, and a mean would be a value that nobody gave.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.outcomes.prediction_history import FeedbackEvent
from app.settings import RewardSettings, TaskSettings

MIN_REWARD, MAX_REWARD = -1.0, 1.0
_COMBINE: Mapping[str, Callable[[Sequence[float]], float]] = {
    "latest": lambda rewards: rewards[-1],
    "first": lambda rewards: rewards[0],
    "max": max,
    "sum": math.fsum,
}
_UNDECLARED = RewardSettings()
"""The rule of a reward without a name, and of a name that the settings lack."""


@dataclass(frozen=True)
class AggregatedReward:
    """The reward of a prediction. `by_name` has the combined reward of each name, before its weight."""

    reward: float | None
    is_default: bool
    by_name: Mapping[str, float]


def aggregate_rewards(
    task_settings: TaskSettings, predicted: datetime, feedback: Sequence[FeedbackEvent], as_of: datetime
) -> AggregatedReward:
    """Return the reward of a prediction that was made at time `predicted`. `feedback` is valid, and ordered by time."""
    rules = task_settings.rewards
    rewards = defaultdict[str | None, list[float]](list)
    for event in feedback:
        name, reward = event.feedback.reward_name, event.feedback.reward
        window_end = _window_end(task_settings, rules.get(name or "", _UNDECLARED), predicted)
        if reward is not None and (window_end is None or event.time <= window_end):
            rewards[name].append(reward)
    combined = {name: _COMBINE[rules.get(name or "", _UNDECLARED).combine](rewards[name]) for name in rewards}
    by_name = {name: reward for name, reward in combined.items() if name is not None}
    terms = [rules[name].weight * reward for name, reward in by_name.items() if name in rules]
    if terms:
        total = math.fsum([*terms, combined.get(None, 0.0)])
        return AggregatedReward(min(MAX_REWARD, max(MIN_REWARD, total)), False, by_name)
    if None in combined:
        return AggregatedReward(combined[None], False, by_name)
    timeout = _window_end(task_settings, _UNDECLARED, predicted)
    if timeout is None or as_of <= timeout:
        return AggregatedReward(None, False, by_name)
    return AggregatedReward(task_settings.reward_default, True, by_name)


def _window_end(task_settings: TaskSettings, rule: RewardSettings, predicted: datetime) -> datetime | None:
    """Return the end of an attribution window; None if it has none."""
    seconds = rule.window_seconds or task_settings.reward_window_seconds
    return None if seconds is None else predicted + timedelta(seconds=seconds)
