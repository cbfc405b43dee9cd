"""From logged decisions to runs: the steps of an episode whose return is known, in their order.

What a step was worth is known if its reward is, and that of every later step. So an episode is cut after the last step
that has no reward yet or is missing, and what comes after is a run. (An episode that still goes on has a last step
without a reward: it is not learnt from before it is over.) Where no reward means 0, the task's settings say so
(`reward_window_seconds`, `reward_default`). A decision outside of episodes is a run by itself.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from models.decision.training.log_reader import Logged

Run = list[Logged]


@dataclass(frozen=True)
class Runs:
    """All that can be learnt from, and why the steps of some episodes can't, by reason."""

    runs: list[Run]
    left_out: dict[str, int]

    @property
    def in_episodes(self) -> bool:
        """Whether any decision is a step of an episode."""
        return bool(self.left_out) or any(run[0].step is not None for run in self.runs)

    def of(self, split: str) -> list[Run]:
        """Those of one split."""
        return [run for run in self.runs if run[0].split == split]


def arranged(logged: Iterable[Logged]) -> Runs:
    """The runs, in the order in which their first decision is in the log."""
    episodes: dict[object, list[Logged]] = {}
    for number, one in enumerate(logged):
        key = number if one.step is None else (one.source, one.step.episode)
        episodes.setdefault(key, []).append(one)
    runs: list[Run] = []
    left_out: Counter[str] = Counter()
    for steps in episodes.values():
        if steps[0].step is None:
            runs.append(steps)
        elif (reason := _unusable(steps)) is not None:
            left_out[reason] += len(steps)
        else:
            made = _cut(sorted(steps, key=_number))
            left_out["return unknown"] += len(steps) - sum(map(len, made))
            runs += made
    return Runs(runs, dict(+left_out))


def whole(run: Run) -> bool:
    """Whether it is all of an episode, or a decision outside of episodes, with its reward."""
    return run[0].reward is not None and (run[0].step is None or run[0].step.number == 0)


def _number(one: Logged) -> int:
    assert one.step is not None
    return one.step.number


def _unusable(steps: Sequence[Logged]) -> str | None:
    if len({one.split for one in steps}) > 1:
        return "in several splits: its requests had several keys"
    if len({_number(one) for one in steps}) < len(steps):
        return "a step twice"
    return None


def _cut(steps: list[Logged]) -> list[Run]:
    """The run at the end; and of what was before it, each step that a person has corrected, by itself."""
    start = len(steps)
    while start > 0 and steps[start - 1].reward is not None:
        if start < len(steps) and _number(steps[start]) != _number(steps[start - 1]) + 1:
            break
        start -= 1
    run = steps[start:]
    corrected = [[replace(one, reward=None)] for one in steps[:start] if one.label is not None]
    return [*corrected, run] if run else corrected
