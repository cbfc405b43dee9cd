"""The answered share of the audit. Pure.

The audit draws predictions at random, so the mean of their scores is unbiased, but only if (nearly) all of them are
answered: people correct mostly mistakes, and if they alone answer, a version seems worse than it is, and any change of
its outputs seems an improvement. So an audited prediction counts only if the audit's queue asked for its answer, and
only where enough of the audit is answered.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.events.types import OutcomeRecorded

TEST_SHARE = 0.1
"""The share of entities in the split `test`: see `app.replay.disposition`."""


@dataclass(frozen=True)
class AnsweredShare:
    """How many of the selected predictions have an answer that counts."""

    answered: int
    selected: int
    rate: float | None = None
    """The newest selection probability, the audit rate; None if it is not known."""

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


NO_AUDIT = AnsweredShare(0, 0)


def first_gate(missing_outcomes: int, audit_rate: float | None) -> str:
    """Return, as a sentence, how many reviews give so many held-out outcomes, and how many predictions give these.

    reviews = outcomes / share of the split `test`; predictions = reviews / audit rate. The rate is None if it is not
    known, and 1 if every prediction has feedback.
    """
    reviews = math.ceil(missing_outcomes / TEST_SHARE - 1e-9)
    sentence = f"That takes about {reviews:,} more answers, because one in {round(1 / TEST_SHARE)} is held out"
    if audit_rate == 1.0:
        return f"{sentence}."
    from_audit = sentence.replace("answers", "reviews of the audit")
    if not audit_rate:
        return f"{from_audit}; no prediction is audited: raise `audit_rate`."
    return (
        f"{from_audit}: at an audit rate of {audit_rate:.1%}, of about {math.ceil(reviews / audit_rate):,} predictions."
    )


def answered_share(outcomes: Iterable[OutcomeRecorded]) -> AnsweredShare:
    """Return the answered share of those of the outcomes that have a known selection probability.

    Pass the outcomes of a period without a choice by feedback: in an audit each selected prediction has an outcome. For
    a task with full feedback only answered predictions have one; compare them with the number of predictions.
    """
    answers = [is_answered(outcome) for outcome in outcomes if outcome.selection_probability is not None]
    return AnsweredShare(sum(answers), len(answers))


def is_answered(outcome: OutcomeRecorded) -> bool:
    """Return whether a selected outcome has a score that counts."""
    return is_counted(outcome.score, outcome.accepted, outcome.reward, outcome.audit_answered)


def is_counted(score: float | None, accepted: bool | None, reward: float | None, audit_answered: bool | None) -> bool:
    """Return whether a selected outcome with these fields has a score that counts.

    A label or rejection counts, but not if only volunteers gave it; `audit_answered` is None with full feedback and for
    older releases. Without an opinion a reward counts, from whomever: applications measure it, no queue asks for it.
    """
    if score is not None or accepted is False:
        return audit_answered is not False
    return reward is not None


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


@dataclass(frozen=True)
class AuditedRows:
    """Which rows of a dataset count as audited."""

    counted: frozenset[int]
    """The positions of the answered rows of the stretch with enough answers."""
    share: AnsweredShare
    """The answered share of all the rows."""


def audited_rows(rows: Iterable[Mapping[str, Any]], min_share: float) -> AuditedRows:
    """Return which of a dataset's rows, in order of time, may be scored: where `min_share` of the audit is answered.

    A row is a mapping with `selection`, `selection_probability`, `audit_answered` and `label`. With full feedback, rows
    without any are unanswered. A label without a selection, of an import or not yet joined, does not count.
    """
    positions, answers, rate, expects_all = list[int](), list[bool](), None, False
    for position, row in enumerate(rows):
        probability = row["selection_probability"]
        expects_all = row["selection"] == "all" or (expects_all and row["selection"] is None)
        if probability is not None or (expects_all and row["label"] is None):
            positions.append(position)
            answers.append(row["label"] is not None and row["audit_answered"] is not False)
            rate = probability or rate
    stretch = answered_stretch(answers, min_share)
    covered = zip(positions[stretch], answers[stretch], strict=True)
    return AuditedRows(
        frozenset(position for position, answered in covered if answered),
        AnsweredShare(sum(answers), len(answers), rate),
    )
