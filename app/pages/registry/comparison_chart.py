"""The chart of a comparison: the values of candidate and champion over time, with their intervals, as SVG."""

from collections.abc import Callable, Sequence
from datetime import datetime

from app.events.comparison import ComparedPart, Measured

WIDTH, HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 8, 24
_TICKS = 4
_MIN_WIDTH = 2.0
"""Of a span whose requests all have one time."""
_MIN_RANGE = 1e-6


def value_chart(parts: Sequence[ComparedPart]) -> str:
    """Return a band and a line for each version in each span of time; empty without any interval.

    It contains numbers and times only. The lines of spans in doubt are dashed.
    """
    spans = [(part, part.start, part.end) for part in parts if part.start is not None and part.end is not None]
    measured = [value for part, _, _ in spans for value in (part.candidate, part.champion) if value is not None]
    if not measured:
        return ""
    low, high = min(low for _, low, _ in measured), max(high for _, _, high in measured)
    first, last = min(start for _, start, _ in spans), max(end for _, _, end in spans)
    x, y = _scale_time(first, last), _scale_value(low, high)
    bands = "".join(
        _band(name, value, x(start), x(end), y, bool(part.doubts))
        for part, start, end in spans
        for name, value in (("champion", part.champion), ("candidate", part.candidate))
        if value is not None
    )
    return (
        f'<svg class="values" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="values over time">'
        f"{_axes(low, high, first, last, y)}{bands}</svg>"
    )


def _scale_time(first: datetime, last: datetime) -> Callable[[datetime], float]:
    seconds = max((last - first).total_seconds(), _MIN_RANGE)
    return lambda time: _LEFT + (time - first).total_seconds() / seconds * (WIDTH - _LEFT - _RIGHT)


def _scale_value(low: float, high: float) -> Callable[[float], float]:
    extent = max(high - low, _MIN_RANGE)
    return lambda value: _TOP + (high - value) / extent * (HEIGHT - _TOP - _BOTTOM)


def _band(name: str, value: Measured, left: float, right: float, y: Callable[[float], float], doubted: bool) -> str:
    middle, top, bottom = y(value[0]), y(value[2]), y(value[1])
    right = max(right, left + _MIN_WIDTH)
    style = f"{name} doubted" if doubted else name
    return (
        f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        f'<line class="{style}" x1="{left:.1f}" x2="{right:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>'
    )


def _axes(low: float, high: float, first: datetime, last: datetime, y: Callable[[float], float]) -> str:
    ticks = [low + (high - low) * number / _TICKS for number in range(_TICKS + 1)]
    lines = "".join(
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        for tick in ticks
    )
    ends = (
        f'<text x="{_LEFT}" y="{HEIGHT - 6}">{first:%Y-%m-%d %H:%M}</text>'
        f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{last:%Y-%m-%d %H:%M} UTC</text>'
    )
    return lines + ends
