"""What the overview says of a task, in words and figures. Pure."""

from collections.abc import Sequence
from math import isfinite

from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate
from app.pages.overview.poller import TaskOverview

NOT_ANSWERING = "not answering"
_SPARKLINE_HEIGHT = 28
_MIN_JUDGED = 10
"""Judged predictions of which an interval means anything."""


def format_rate(seen: TaskOverview) -> str:
    """How much is answered now. That there are no requests is said only where none waits and none was answered."""
    if seen.task_status is not None and not seen.task_status.is_healthy:
        return NOT_ANSWERING
    if seen.task_status is None and not seen.answers:
        return "–"  # nothing is known
    if seen.per_second >= 10:
        return f"{seen.per_second:,.0f}/s"
    if seen.per_second:
        return f"{seen.per_second:.1f}/s"
    if seen.answers:
        return f"{seen.answers:,} in 5 min"
    return "waiting" if seen.task_status is not None and seen.task_status.waiting else "no requests"


def format_waiting(seen: TaskOverview) -> str:
    """How many requests wait."""
    if seen.task_status is None:
        return "what waits is not known"
    return f"{seen.task_status.waiting:,} waiting" if seen.task_status.waiting else ""


def format_blocker(seen: TaskOverview) -> str:
    """Who holds requests up, and what to do; nothing where all are answered."""
    found = seen.task_status
    if found is None or found.is_healthy:
        return ""
    return (
        f"No request has moved on for {found.held_seconds:,.0f} s: {found.stage} holds them up. "
        f"It is started again by itself; by hand: hindsight restart {found.stage}, then hindsight logs {found.stage}."
    )


def format_interval(found: QualityEstimate | None) -> str:
    """The score's interval, or what is missing for one."""
    if found is None:
        return "not looked at yet"
    if found.labelled < _MIN_JUDGED:
        return f"{found.labelled} of the audit judged: too few"
    low, high = found.interval()
    if not (isfinite(low) and isfinite(high)):
        return f"{found.labelled:,} judged, whose weights are too unequal"
    return f"{low:.3f} to {high:.3f} · {found.labelled:,} judged"


def format_expected_quality(found: PerformanceEstimate | None) -> str:
    """What is expected of predictions whose labels are late, and how far off that was."""
    if found is None:
        return ""
    off = "" if found.error is None else f", off by {found.error:.3f} before"
    return f"expected now {found.score:.3f}{off}"


def format_drift(found: Sequence[DriftFinding] | None) -> str:
    """Which numbers have drifted."""
    if not found:
        return "drift: no whole window yet"
    names = [one.feature for one in found if one.drifted]
    return f"drift of {', '.join(names)}" if names else f"no drift in {len(found)} numbers"


def sparkline_svg(counts: tuple[int, ...]) -> str:
    """The counts as bars of SVG; numbers alone go into it."""
    most = max(counts, default=0) or 1
    bars = "".join(
        f'<rect x="{place * 3}" y="{_SPARKLINE_HEIGHT - height}" width="2" height="{height}"/>'
        for place, count in enumerate(counts)
        if (height := max(1, round(count / most * _SPARKLINE_HEIGHT)) if count else 0)
    )
    box = f"0 0 {len(counts) * 3} {_SPARKLINE_HEIGHT}"
    return f'<svg class="spark" viewBox="{box}" preserveAspectRatio="none">{bars}</svg>'
