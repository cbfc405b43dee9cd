"""The past of a champion, as a baseline of drift."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from app.monitoring.drift import CYCLE, Samples
from app.retraining.triggers.drift_baseline import (
    MAX_REFERENCE_EVENTS,
    PAST_WINDOWS,
    PastWindows,
    build_baseline,
    past_windows,
)
from app.retraining.triggers.observation import TimeWindow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CARD: Samples = {"inputs.size": np.zeros(100), "labels.length": np.ones(60)}


def hours(first: int, last: int) -> TimeWindow:
    return TimeWindow(NOON + timedelta(hours=first), NOON + timedelta(hours=last))


def samples_of(window: TimeWindow) -> Samples:
    hour = (window.start - NOON) / timedelta(hours=1)
    return {"inputs.size": np.full(1000, hour), "outputs.length": np.ones(1000)}


def past_of(count: int) -> PastWindows:
    return PastWindows().extended([hours(hour, hour + 1) for hour in range(count)], samples_of)


@pytest.mark.parametrize(("length", "stride"), [(60, 60), (1, 60), (7, 56), (240, 240)])
def test_the_past_is_windows_spread_over_the_first_day(length: int, stride: int) -> None:
    first = TimeWindow(NOON, NOON + timedelta(minutes=length))
    late = TimeWindow(NOON + timedelta(days=30), NOON + timedelta(days=30, minutes=length))
    windows = past_windows(first, late)
    assert len(windows) == PAST_WINDOWS
    assert windows[0] == first
    assert {later.start - before.start for before, later in pairwise(windows)} == {timedelta(minutes=stride)}
    assert length > 60 or 0.85 * CYCLE <= windows[-1].end - first.start <= CYCLE


def test_the_past_ends_before_the_window_that_is_judged_and_never_changes_later() -> None:
    assert past_windows(hours(0, 1), hours(0, 1)) == []
    for hour in range(1, 40):
        assert past_windows(hours(0, 1), hours(hour, hour + 1)) == past_windows(hours(0, 1), hours(90, 91))[:hour]


def test_a_longer_past_reads_the_new_windows_only() -> None:
    read = list[TimeWindow]()

    def record(window: TimeWindow) -> Samples:
        read.append(window)
        return samples_of(window)

    past = past_of(2).extended([hours(hour, hour + 1) for hour in range(3)], record)
    assert read == [hours(2, 3)]
    assert [samples["inputs.size"][0] for samples in past.samples] == [0.0, 1.0, 2.0]


def test_the_reference_is_the_card_until_the_past_covers_a_day() -> None:
    early, late = build_baseline(past_of(23), CARD, {}), build_baseline(past_of(24), CARD, {})
    assert early is not None
    assert late is not None
    assert early.reference is CARD
    assert set(late.reference["inputs.size"]) == set(range(24))
    assert len(late.reference["inputs.size"]) <= MAX_REFERENCE_EVENTS
    assert late.reference["labels.length"] is CARD["labels.length"]
    assert len(late.past) == 24


def test_without_a_card_the_past_and_the_first_labels_are_the_reference() -> None:
    labels = {"labels.length": np.ones(70)}
    baseline = build_baseline(past_of(1), None, labels)
    assert baseline is not None
    assert set(baseline.reference) == {"inputs.size", "outputs.length", "labels.length"}


def test_a_class_that_a_part_of_the_past_lacks_has_counts_of_0_there() -> None:
    rare = {"outputs.length": np.ones(50), "outputs.class.cat": np.ones(50)}
    past = PastWindows([hours(0, 1), hours(1, 2)], [{"outputs.length": np.ones(50)}, rare])
    baseline = build_baseline(past, None, {})
    assert baseline is not None
    assert baseline.reference["outputs.class.cat"].mean() == 0.5
    assert [samples["outputs.class.cat"].mean() for samples in baseline.past] == [0.0, 1.0]


def test_there_is_no_baseline_without_events_in_the_past() -> None:
    assert build_baseline(PastWindows([hours(0, 1)], [{}]), CARD, {}) is None
