"""What the overview says of a task, in words and figures. Pure."""

from collections.abc import Sequence
from math import isfinite

from app.monitoring.drift import Finding
from app.monitoring.performance_estimation import Expected
from app.monitoring.quality import Quality
from app.pages.overview.poller import Seen

NOT_ANSWERING = "not answering"
_HEIGHT = 28
_FEWEST = 10
"""Judged predictions of which an interval means anything."""


def rate(seen: Seen) -> str:
    """How much is answered now. That there are no requests is said only where none waits and none was answered."""
    if seen.standing is not None and not seen.standing.well:
        return NOT_ANSWERING
    if seen.standing is None and not seen.answers:
        return "–"  # nothing is known
    if seen.per_second >= 10:
        return f"{seen.per_second:,.0f}/s"
    if seen.per_second:
        return f"{seen.per_second:.1f}/s"
    if seen.answers:
        return f"{seen.answers:,} in 5 min"
    return "waiting" if seen.standing is not None and seen.standing.waiting else "no requests"


def waiting(seen: Seen) -> str:
    """How many requests wait."""
    if seen.standing is None:
        return "what waits is not known"
    return f"{seen.standing.waiting:,} waiting" if seen.standing.waiting else ""


def held(seen: Seen) -> str:
    """Who holds requests up, and what to do; nothing where all are answered."""
    found = seen.standing
    if found is None or found.well:
        return ""
    return (
        f"No request has moved on for {found.held_seconds:,.0f} s: {found.stage} holds them up. "
        f"It is started again by itself; by hand: hindsight restart {found.stage}, then hindsight logs {found.stage}."
    )


def interval(found: Quality | None) -> str:
    """The score's interval, or what is missing for one."""
    if found is None:
        return "not looked at yet"
    if found.labelled < _FEWEST:
        return f"{found.labelled} of the audit judged: too few"
    low, high = found.interval()
    if not (isfinite(low) and isfinite(high)):
        return f"{found.labelled:,} judged, whose weights are too unequal"
    return f"{low:.3f} to {high:.3f} · {found.labelled:,} judged"


def expected(found: Expected | None) -> str:
    """What is expected of predictions whose labels are late, and how far off that was."""
    if found is None:
        return ""
    off = "" if found.error is None else f", off by {found.error:.3f} before"
    return f"expected now {found.score:.3f}{off}"


def drift(found: Sequence[Finding] | None) -> str:
    """Which numbers have drifted."""
    if not found:
        return "drift: no whole window yet"
    names = [one.feature for one in found if one.drifted]
    return f"drift of {', '.join(names)}" if names else f"no drift in {len(found)} numbers"


def spark(counts: tuple[int, ...]) -> str:
    """The counts as bars of SVG; numbers alone go into it."""
    most = max(counts, default=0) or 1
    bars = "".join(
        f'<rect x="{place * 3}" y="{_HEIGHT - height}" width="2" height="{height}"/>'
        for place, count in enumerate(counts)
        if (height := max(1, round(count / most * _HEIGHT)) if count else 0)
    )
    return f'<svg class="spark" viewBox="0 0 {len(counts) * 3} {_HEIGHT}" preserveAspectRatio="none">{bars}</svg>'
