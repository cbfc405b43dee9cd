"""The baseline of a champion's drift: its past windows, spread over its first day, and the reference in its card."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from app.monitoring.drift import CYCLE, MAX_WINDOW_EVENTS, DriftBaseline, Samples
from app.monitoring.drift_features import add_classes
from app.retraining.triggers.observation import TimeWindow

PAST_WINDOWS = 24
"""Windows in a cycle that are the past; windows longer than an hour have more cycles."""
MAX_REFERENCE_EVENTS = 2 * MAX_WINDOW_EVENTS


@dataclass(frozen=True)
class PastWindows:
    """The samples of a champion's past windows, oldest first."""

    windows: Sequence[TimeWindow] = ()
    samples: Sequence[Samples] = ()

    def extended(self, windows: Sequence[TimeWindow], read: Callable[[TimeWindow], Samples]) -> "PastWindows":
        """Return the past of these windows, of which the first ones are in this past."""
        return PastWindows(windows, (*self.samples, *(read(window) for window in windows[len(self.windows) :])))


def past_windows(first: TimeWindow, last: TimeWindow) -> list[TimeWindow]:
    """Return the windows of the past that end before the last one starts, from a champion's first complete one on."""
    stride = max(1, CYCLE // PAST_WINDOWS // first.length) * first.length
    starts = (first.start + number * stride for number in range(PAST_WINDOWS))
    return [TimeWindow(start, start + first.length) for start in starts if start + first.length <= last.start]


def build_baseline(past: PastWindows, card: Samples | None, labels: Samples) -> DriftBaseline | None:
    """Return the baseline: the past is the reference once it covers a cycle, and before where the card has none.

    `labels` are those of the first window. None without a past: a reference alone does not show how its events depend
    on each other.
    """
    if not any(past.samples):
        return None
    pooled = _pool(past.samples)
    is_cycle = len(past.windows) == PAST_WINDOWS
    reference = {**pooled, **labels} if card is None else {**card, **pooled} if is_cycle else card
    return DriftBaseline(reference, [add_classes(samples, reference) for samples in past.samples])


def _pool(stretches: Sequence[Samples]) -> Samples:
    """Return at most `MAX_REFERENCE_EVENTS` events, evenly spaced, of those features that all stretches have."""
    full = [samples for samples in stretches if samples]
    every = {name: values for samples in full for name, values in samples.items()}
    aligned = [add_classes(samples, every) for samples in full]
    names = set.intersection(*(set(samples) for samples in aligned))
    pooled = {name: np.concatenate([samples[name] for samples in aligned]) for name in names}
    return {name: values[:: max(1, -(-len(values) // MAX_REFERENCE_EVENTS))] for name, values in pooled.items()}
