"""Candidate against champion on the same evidence: in all, over time, and by slice. Pure.

Spans of time have equal counts, and there are as many as the evidence carries: cut by its amount alone, never where a
result would please. Differences are paired. Their intervals on spans and slices hold all at once: each has the level
1 - (1 - 0.95) / K for K of them (Bonferroni), so that at most 5 % of comparisons have any wrong one. Values, and the
difference in all, have intervals of their own. A part with too little evidence says so.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from app.events.comparison import ComparedPart, ComparedSlices, Comparison, Measured
from models.contributions import Contributions
from models.off_policy import Estimate, Places, effective_size
from models.policy_value import doubts, support

MAX_SPANS = 12
MAX_SLICES = 10
"""Of a column."""
LEVEL = 0.95
MIN_OUTCOMES = 20
"""As the gate: with fewer, the jackknife's intervals are too narrow."""
MIN_DIFFERING = 10
"""Decisions or outcomes on which the versions differ: fewer say too little of their difference."""
_MARGIN = 1.5
"""How much more evidence a span has than it must have, because spans of equal counts do not have equal evidence."""


@dataclass(frozen=True)
class PairedEvidence:
    """What N decisions, episodes or outcomes contribute to the values of candidate and champion, in the same order."""

    candidate: Contributions
    champion: Contributions
    times: Sequence[datetime | None]
    """The time of each request."""
    columns: Mapping[str, Sequence[str]]
    """The slices by each column, of which each row is in one."""
    unit: Literal["decision", "slate", "episode", "outcome"]
    estimator: str


def compare(evidence: PairedEvidence, over_time: bool = True) -> Comparison:
    """Return the comparison. The same evidence gives the same comparison."""
    spans = _spans(evidence) if over_time else []
    slices = {column: _slices(names) for column, names in evidence.columns.items()}
    simultaneous = len(spans) + sum(len(places) for places, _ in slices.values())
    level = 1 - (1 - LEVEL) / max(simultaneous, 1)
    return Comparison(
        evidence="outcomes" if evidence.unit == "outcome" else "off_policy",
        unit=evidence.unit,
        estimator=evidence.estimator,
        level=LEVEL,
        simultaneous=simultaneous,
        total=_part(evidence, np.arange(len(evidence.times)), LEVEL),
        over_time=tuple(_part(evidence, places, level) for places in spans),
        slices=tuple(
            ComparedSlices(
                column=column,
                parts=tuple(_part(evidence, places, level, name) for name, places in of_column.items()),
                left_out=left_out,
            )
            for column, (of_column, left_out) in slices.items()
        ),
    )


def _spans(evidence: PairedEvidence) -> list[Places]:
    """Return the places of each span's rows, in order of time; none without times."""
    times = [time.timestamp() for time in evidence.times if time is not None]
    if not times or len(times) < len(evidence.times):
        return []
    if evidence.unit == "outcome":
        enough = len(np.unique(evidence.champion.clusters)) / MIN_OUTCOMES
    else:
        enough = min(support(evidence.candidate), support(evidence.champion))
    count = max(1, min(MAX_SPANS, int(np.nan_to_num(enough) / _MARGIN)))
    return list(np.array_split(np.argsort(times, kind="stable"), count))


def _slices(names: Sequence[str]) -> tuple[dict[str, Places], int]:
    """Return the places of the rows of the largest slices, and the number of the other slices."""
    counts, places = Counter(names), np.array(names)
    largest = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_SLICES]]
    return {name: np.flatnonzero(places == name) for name in largest}, len(counts) - len(largest)


def _part(evidence: PairedEvidence, places: Places, level: float, name: str | None = None) -> ComparedPart:
    candidate, champion = evidence.candidate.at(places), evidence.champion.at(places)
    difference = candidate.estimate.minus(champion.estimate)
    times = [time for place in places if (time := evidence.times[place]) is not None]
    return ComparedPart(
        slice=name,
        start=min(times, default=None),
        end=max(times, default=None),
        count=len(places),
        entities=len(difference.influence),
        effective=float(np.nan_to_num(min(effective_size(one.weights) for one in (candidate, champion)))),
        candidate=_measured(candidate.estimate, LEVEL),
        champion=_measured(champion.estimate, LEVEL),
        difference=_measured(difference, level),
        doubts=_doubts(candidate, champion, difference, evidence.unit == "outcome"),
    )


def _measured(estimate: Estimate, level: float) -> Measured | None:
    measured = (estimate.value, *estimate.interval(level))
    return measured if np.isfinite(measured).all() else None


def _doubts(
    candidate: Contributions, champion: Contributions, difference: Estimate, of_outcomes: bool
) -> tuple[str, ...]:
    if of_outcomes:
        found = _outcome_doubts(len(difference.influence), len(candidate.ids))
    else:
        both = (doubts(one.weights, one.rewards, one.clusters) for one in (candidate, champion))
        found = tuple(dict.fromkeys(sentence for one in both for sentence in one))
    differing = int(np.sum((candidate.added != champion.added) | (candidate.mass != champion.mass)))
    if differing < MIN_DIFFERING and (differing or of_outcomes):
        found += (
            f"The versions differ on {differing} of {len(candidate.ids)}, fewer than {MIN_DIFFERING}: that says little"
            " of the difference.",
        )
    return found or ((difference.doubt,) if difference.doubt else ())


def _outcome_doubts(entities: int, outcomes: int) -> tuple[str, ...]:
    if entities >= MIN_OUTCOMES:
        return ()
    return (f"{outcomes} outcomes of {entities} entities are too few: {MIN_OUTCOMES} entities are needed.",)
