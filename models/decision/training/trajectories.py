"""From logged decisions to trajectories: the steps of an episode whose return is known, in order.

The return of a step is known if its reward is, and that of every later step. So an episode is cut after the last step
that has no reward yet or is missing; the steps after the cut are a trajectory. (The last step of an unfinished episode
has no reward: nothing is learnt from it before its end.) Where no reward means 0, the task's settings say so
(`reward_window_seconds`, `reward_default`). A decision outside of episodes is a trajectory by itself.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from models.decision.training.log_reader import LoggedDecision

Trajectory = list[LoggedDecision]


@dataclass(frozen=True)
class Trajectories:
    """Trajectories to learn from, and counts of the steps that were left out, by reason."""

    trajectories: list[Trajectory]
    left_out: dict[str, int]

    @property
    def in_episodes(self) -> bool:
        """Whether any decision is a step of an episode."""
        return bool(self.left_out) or any(trajectory[0].step is not None for trajectory in self.trajectories)

    def of(self, split: str) -> list[Trajectory]:
        """Return the trajectories of one split."""
        return [trajectory for trajectory in self.trajectories if trajectory[0].split == split]


def trajectories_of(logged: Iterable[LoggedDecision]) -> Trajectories:
    """Return the trajectories, in the order in which their first decision is in the log."""
    episodes: dict[object, list[LoggedDecision]] = {}
    for number, decision in enumerate(logged):
        key = number if decision.step is None else (decision.source, decision.step.episode)
        episodes.setdefault(key, []).append(decision)
    trajectories: list[Trajectory] = []
    left_out: Counter[str] = Counter()
    for steps in episodes.values():
        if steps[0].step is None:
            trajectories.append(steps)
        elif (reason := _unusable(steps)) is not None:
            left_out[reason] += len(steps)
        else:
            made = _cut(sorted(steps, key=_number))
            left_out["return unknown"] += len(steps) - sum(map(len, made))
            trajectories += made
    return Trajectories(trajectories, dict(+left_out))


def is_whole(trajectory: Trajectory) -> bool:
    """Return whether it is all of an episode, or a decision outside of episodes, with its reward."""
    return trajectory[0].reward is not None and (trajectory[0].step is None or trajectory[0].step.number == 0)


def _number(decision: LoggedDecision) -> int:
    assert decision.step is not None
    return decision.step.number


def _unusable(steps: Sequence[LoggedDecision]) -> str | None:
    if len({decision.split for decision in steps}) > 1:
        return "in several splits: its requests had several keys"
    if len({_number(decision) for decision in steps}) < len(steps):
        return "a step twice"
    return None


def _cut(steps: list[LoggedDecision]) -> list[Trajectory]:
    """Return the last trajectory, and each corrected step before it by itself."""
    start = len(steps)
    while start > 0 and steps[start - 1].reward is not None:
        if start < len(steps) and _number(steps[start]) != _number(steps[start - 1]) + 1:
            break
        start -= 1
    trajectory = steps[start:]
    corrected = [[replace(decision, reward=None)] for decision in steps[:start] if decision.label is not None]
    return [*corrected, trajectory] if trajectory else corrected
