"""Aggregation of the rewards of a prediction into one. Pure, used live and in replays.

reward = clip(sum over names n of weight(n) * combine(n)(the rewards of n within window(n)), -1, 1)

The rewards of a name are those of all actors, in order of time: of several without a name the latest counts, because it
is a measurement that may be repeated, and a mean would be a value that nobody gave. The rewards of a slate's position
are combined apart from those of other positions; the reward of the slate is their sum, clipped.
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
    """The reward of a prediction, and what it is the sum of."""

    reward: float | None
    is_default: bool
    by_name: Mapping[str, float]
    """The combined reward of each name, before its weight, summed over positions."""
    by_position: Sequence[float] = ()
    """The rewards of a slate's positions up to the last that has one; 0 of a position without."""


def aggregate_rewards(
    task_settings: TaskSettings, predicted: datetime, feedback: Sequence[FeedbackEvent], as_of: datetime
) -> AggregatedReward:
    """Return the reward of a prediction that was made at time `predicted`. `feedback` is valid, and ordered by time."""
    events = defaultdict[int | None, list[FeedbackEvent]](list)
    for event in feedback:
        events[event.feedback.position].append(event)
    combined = {position: _combine(task_settings, predicted, events[position]) for position in events}
    by_name = defaultdict[str, list[float]](list)
    for rewards_of_position in combined.values():
        for name, reward in rewards_of_position.items():
            if name is not None:
                by_name[name].append(reward)
    sums = {name: math.fsum(rewards) for name, rewards in by_name.items()}
    weighted = {position: _weigh(task_settings, rewards) for position, rewards in combined.items()}
    rewards = {position: reward for position, reward in weighted.items() if reward is not None}
    if rewards:
        last = max(position or 0 for position in rewards)
        by_position = [rewards.get(position, 0.0) for position in range(1, last + 1)]
        total = rewards[None] if last == 0 else math.fsum(rewards.values())
        return AggregatedReward(min(MAX_REWARD, max(MIN_REWARD, total)), False, sums, by_position)
    timeout = _window_end(task_settings, _UNDECLARED, predicted)
    if timeout is None or as_of <= timeout:
        return AggregatedReward(None, False, sums)
    return AggregatedReward(task_settings.reward_default, True, sums)


def _combine(
    task_settings: TaskSettings, predicted: datetime, feedback: Sequence[FeedbackEvent]
) -> Mapping[str | None, float]:
    """Return the combined reward of each name, in its attribution window."""
    rewards = defaultdict[str | None, list[float]](list)
    for event in feedback:
        name, reward = event.feedback.reward_name, event.feedback.reward
        window_end = _window_end(task_settings, _rule(task_settings, name), predicted)
        if reward is not None and (window_end is None or event.time <= window_end):
            rewards[name].append(reward)
    return {name: _COMBINE[_rule(task_settings, name).combine](rewards[name]) for name in rewards}


def _weigh(task_settings: TaskSettings, rewards: Mapping[str | None, float]) -> float | None:
    """Return the sum of declared names and of the reward without a name; None if there is none of these."""
    rules = task_settings.rewards
    terms = [rules[name].weight * reward for name, reward in rewards.items() if name in rules]
    return math.fsum([*terms, rewards.get(None, 0.0)]) if terms else rewards.get(None)


def _rule(task_settings: TaskSettings, name: str | None) -> RewardSettings:
    return _UNDECLARED if name is None else task_settings.rewards.get(name, _UNDECLARED)


def _window_end(task_settings: TaskSettings, rule: RewardSettings, predicted: datetime) -> datetime | None:
    """Return the end of an attribution window; None if it has none."""
    seconds = rule.window_seconds or task_settings.reward_window_seconds
    return None if seconds is None else predicted + timedelta(seconds=seconds)
