"""Texts and numbers of a task on the overview. Pure functions."""

from collections.abc import Sequence
from math import isfinite

from app.monitoring.drift import DriftFinding
from app.monitoring.performance_estimation import PerformanceEstimate
from app.monitoring.quality import QualityEstimate
from app.pages.overview.poller import TaskOverview

NOT_ANSWERING = "not answering"
_SPARKLINE_HEIGHT = 28
_MIN_LABELLED = 10
"""Minimum number of labels for which the score and its interval are shown."""


def format_rate(task: TaskOverview) -> str:
    """Return the rate of answers; "no requests" only if none is waiting and none was answered."""
    if task.task_status is not None and not task.task_status.is_healthy:
        return NOT_ANSWERING
    if task.task_status is None and not task.answers:
        return "–"  # not known
    if task.per_second >= 10:
        return f"{task.per_second:,.0f}/s"
    if task.per_second:
        return f"{task.per_second:.1f}/s"
    if task.answers:
        return f"{task.answers:,} in 5 min"
    return "waiting" if task.task_status is not None and task.task_status.waiting else "no requests"


def format_waiting(task: TaskOverview) -> str:
    """Return the number of waiting requests."""
    if task.task_status is None:
        return "lag not known"
    return f"{task.task_status.waiting:,} waiting" if task.task_status.waiting else ""


def format_blocker(task: TaskOverview) -> str:
    """Return the stage that blocks requests, with the remedy; an empty string if none does."""
    status = task.task_status
    if status is None or status.is_healthy:
        return ""
    return (
        f"No progress for {status.held_seconds:,.0f} s: {status.stage} blocks the requests. It restarts automatically. "
        f"By hand: hindsight restart {status.stage}, then hindsight logs {status.stage}."
    )


def format_score(estimate: QualityEstimate | None) -> str:
    """Return the score; a dash if it is not known, or of too few labels to be shown."""
    if estimate is None or estimate.score is None or estimate.labelled < _MIN_LABELLED:
        return "–"
    return f"{estimate.score:.3f}"


def format_interval(estimate: QualityEstimate | None) -> str:
    """Return the score's interval, or why there is none."""
    if estimate is None:
        return "not measured yet"
    if estimate.labelled < _MIN_LABELLED:
        return f"{estimate.labelled} audit labels: too few"
    lower, upper = estimate.interval()
    if not (isfinite(lower) and isfinite(upper)):
        return f"{estimate.labelled:,} labels with too unequal weights"
    return f"{lower:.3f} to {upper:.3f} · {estimate.labelled:,} labels"


def format_expected_quality(estimate: PerformanceEstimate | None) -> str:
    """Return the score that is expected while labels are late, and the past error of this estimate."""
    if estimate is None:
        return ""
    error = "" if estimate.error is None else f", past error {estimate.error:.3f}"
    return f"expected now {estimate.score:.3f}{error}"


def format_drift(findings: Sequence[DriftFinding] | None) -> str:
    """Return the features that have drifted."""
    if not findings:
        return "drift: no complete window yet"
    drifted = [finding.feature for finding in findings if finding.drifted]
    return f"drift of {', '.join(drifted)}" if drifted else f"no drift in {len(findings)} features"


def sparkline_svg(counts: tuple[int, ...]) -> str:
    """Return the counts as an SVG bar chart, which contains only numbers."""
    max_count = max(counts, default=0) or 1
    bars = "".join(
        f'<rect x="{index * 3}" y="{_SPARKLINE_HEIGHT - height}" width="2" height="{height}"/>'
        for index, count in enumerate(counts)
        if (height := max(1, round(count / max_count * _SPARKLINE_HEIGHT)) if count else 0)
    )
    view_box = f"0 0 {len(counts) * 3} {_SPARKLINE_HEIGHT}"
    return f'<svg class="spark" viewBox="{view_box}" preserveAspectRatio="none">{bars}</svg>'
