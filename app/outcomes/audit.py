"""The answered share of the audit. Pure.

The audit draws predictions at random, so the mean of their scores is unbiased, but only if (nearly) all of them are
answered: people correct mostly mistakes, and if they alone answer, a version seems worse than it is, and any change of
its outputs seems an improvement. So an audited prediction counts only if the audit's queue asked for its answer, and
only where enough of the audit is answered.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.events.types import OutcomeRecorded

TEST_SHARE = 0.1
"""The share of entities in the split `test`: see `app.replay.disposition`."""


@dataclass(frozen=True)
class AnsweredShare:
    """How many of the selected predictions have an answer that counts."""

    answered: int
    selected: int

    @property
    def share(self) -> float:
        """The answered share; 1 if none is selected, because then nothing is missing."""
        return self.answered / self.selected if self.selected else 1.0

    def missing(self, min_share: float) -> int:
        """Return how many more of these predictions must be answered to reach this share."""
        return max(0, math.ceil(min_share * self.selected - 1e-9) - self.answered)

    def refusal(self, min_share: float) -> str | None:
        """Return why no score may be computed from these answers, with the number of missing reviews; None if one may.

        The sentence is for people.
        """
        if not (missing := self.missing(min_share)):
            return None
        return (
            f"{self.answered} of {self.selected} audited predictions are answered ({self.share:.0%}): {min_share:.0%}"
            f" is needed, {missing} more reviews of the audit."
        )


def counts_as_answer(has_label: bool, audit_answered: bool | None) -> bool:
    """Return whether the label of a selected prediction counts: not if only volunteers gave it.

    `audit_answered` is None for tasks with full feedback, and for older releases: then every label counts.
    """
    return has_label and audit_answered is not False


def answered_share(outcomes: Iterable[OutcomeRecorded]) -> AnsweredShare:
    """Return the answered share of those of the outcomes that have a known selection probability.

    Pass the outcomes of a period without a choice by feedback: in an audit each selected prediction has an outcome. For
    a task with full feedback only answered predictions have one; compare them with the number of predictions.
    """
    answers = [is_answered(outcome) for outcome in outcomes if outcome.selection_probability is not None]
    return AnsweredShare(sum(answers), len(answers))


def is_answered(outcome: OutcomeRecorded) -> bool:
    """Return whether the outcome has a score, by a label or rejection that counts, or else by a reward.

    Rewards count from whomever: applications measure them, so that no queue asks for them.
    """
    has_opinion = outcome.score is not None or outcome.accepted is False
    return counts_as_answer(has_opinion, outcome.audit_answered) or (not has_opinion and outcome.reward is not None)


def answered_stretch(answers: Sequence[bool], min_share: float) -> slice:
    """Return the stretch of an audit, in order of time, with the most answers of which `min_share` is answered.

    Reviews begin late, pause, and are behind: what is older or newer than they are must not spoil what they cover. The
    choice of the stretch uses only which predictions are answered. That is independent of their scores, because the
    queue asks in the order of time, whatever volunteers do.
    """
    excess = np.concatenate([[0.0], np.cumsum(np.asarray(answers, np.float64) - min_share)])
    counts = np.concatenate([[0], np.cumsum(answers)])
    lowest = np.minimum.accumulate(excess)
    # The earliest start of each end: the first whose excess is not above that of the end.
    starts = np.searchsorted(-lowest, -excess - 1e-9, side="left")
    gained = counts - counts[starts]
    end = int(len(gained) - 1 - np.argmax(gained[::-1]))
    return slice(int(starts[end]), end)
