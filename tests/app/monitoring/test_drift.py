from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.monitoring.drift import (
    MAX_WINDOW_EVENTS,
    MIN_REFERENCE_VALUES,
    SCAN_LENGTHS,
    DriftDetector,
    Samples,
    ScanDetector,
)

DETECTOR: DriftDetector = ScanDetector()


def confidences(seed: int, events: int, mean: float = 0.0, deviation: float = 1.0) -> Samples:
    return {"confidence": np.random.default_rng(seed).normal(mean, deviation, events)}


def classes(seed: int, events: int, share: float) -> Samples:
    """Whether an event is of a class."""
    return {"class": (np.random.default_rng(seed).random(events) < share).astype(float)}


def after(quiet: Samples, drifted: Samples) -> Samples:
    return {name: np.concatenate([quiet[name], drifted[name]]) for name in quiet}


def drifts(reference: Samples, window: Samples, detector: DriftDetector = DETECTOR) -> bool:
    return any(one.drifted for one in detector.detect(reference, window))


def alarmed(reference: Samples, stream: Samples, detector: DriftDetector) -> bool:
    """Whether it alarms to one who looks after every 20 events of the stream."""
    lengths = range(20, 1 + min(map(len, stream.values())), 20)
    return any(drifts(reference, {name: all[:n] for name, all in stream.items()}, detector) for n in lengths)


@pytest.mark.parametrize(("shift", "events"), [(0.5, 300), (1.0, 90), (2.0, 32)])
def test_the_further_a_feature_moves_the_fewer_events_show_it(shift: float, events: int) -> None:
    for seed in range(20):
        moved = after(confidences(seed, 700), confidences(seed + 100, events, mean=shift))
        (found,) = DETECTOR.detect(confidences(seed + 200, 1000), moved)
        assert found.drifted
        assert (found.feature, found.detector) == ("confidence", "normal-scores")
        assert found.events <= 2 * events


def test_a_feature_that_spreads_around_the_same_middle_is_found_too() -> None:
    (found,) = DETECTOR.detect(confidences(0, 1000), confidences(1, 200, deviation=2.0))
    assert found.drifted
    assert found.detector == "spread"


def test_a_class_becomes_more_common_or_is_there_for_the_first_time() -> None:
    assert drifts(classes(0, 1000, 0.1), classes(1, 200, 0.4))
    assert drifts(classes(0, 1000, 0.0), classes(1, 200, 0.3))


def test_the_statistic_is_that_of_van_der_waerden() -> None:
    """Less the mean of the reference's own scores, which is nearly 0 where no two values are equal."""
    reference, window = confidences(0, 1000), confidences(1, int(SCAN_LENGTHS[0]), mean=1.0)
    (found,) = DETECTOR.detect(reference, window)
    smaller = (reference["confidence"] < window["confidence"][:, None]).sum(axis=1)
    assert found.statistic == pytest.approx(stats.norm.ppf((smaller + 0.5) / 1001).mean(), abs=0.001)


def test_a_few_far_away_are_found_sooner_than_as_many_by_their_ranks_alone() -> None:
    """A third of the events comes from elsewhere: Mann & Whitney's statistic needs twice as many."""
    for seed in range(20):
        few = np.where(np.arange(60) % 3 == 0, 9.0, confidences(seed, 60)["confidence"])
        assert drifts(confidences(seed + 100, 1000), after(confidences(seed + 200, 700), {"confidence": few}))


STEADY: dict[str, Callable[[int], Samples]] = {
    "normal": lambda seed: confidences(seed, 1000),
    "rare": lambda seed: classes(seed, 1000, 0.02),
    "common": lambda seed: classes(seed, 1000, 0.5),
}


@pytest.mark.parametrize("stream", STEADY.values(), ids=STEADY)
def test_in_steady_streams_there_are_no_more_false_alarms_than_the_rate_says(stream: Callable[[int], Samples]) -> None:
    often = ScanDetector(min_effect=0.0, false_alarm_rate=1e-4)
    alarms = sum(alarmed(stream(2 * seed), stream(2 * seed + 1), often) for seed in range(60))
    assert alarms <= 6  # in 60,000 events


def test_where_more_are_allowed_there_are_more() -> None:
    pairs = [(confidences(2 * seed, 1000), confidences(2 * seed + 1, 1000)) for seed in range(20)]
    few, many = (
        sum(alarmed(*pair, ScanDetector(min_effect=0.0, false_alarm_rate=rate)) for pair in pairs)
        for rate in (1e-6, 1e-2)
    )
    assert few == 0
    assert many >= 5


def test_a_trifle_is_no_drift_however_many_events_show_it() -> None:
    reference, trifle = confidences(0, 200_000), confidences(1, MAX_WINDOW_EVENTS, mean=0.2)
    assert drifts(reference, trifle, ScanDetector(min_effect=0.0, false_alarm_rate=1e-4))
    assert not drifts(reference, trifle, ScanDetector(min_effect=0.5, false_alarm_rate=1e-4))


def test_the_more_features_are_looked_at_the_more_each_must_show() -> None:
    detector = ScanDetector(min_effect=0.0)
    reference, window = confidences(0, 500), confidences(1, 500, mean=1.0)
    (alone,) = detector.detect(reference, window)
    together = detector.detect({**reference, **classes(2, 500, 0.5)}, {**window, **classes(3, 500, 0.5)})
    assert [one.feature for one in together] == ["class", "confidence"]
    assert together[1].statistic / together[1].threshold < alone.statistic / alone.threshold


@pytest.mark.parametrize("window", [{}, confidences(1, int(SCAN_LENGTHS[0]) - 1, 9.0), classes(1, 500, 0.5)])
def test_of_a_feature_that_the_window_has_too_few_values_of_nothing_is_said(window: Samples) -> None:
    assert DETECTOR.detect(confidences(0, 500), window) == []


def test_a_handful_is_no_reference() -> None:
    assert DETECTOR.detect(confidences(0, MIN_REFERENCE_VALUES - 1), confidences(1, 500, 9.0)) == []


def test_a_feature_that_never_changes_has_not_drifted_until_it_does() -> None:
    same = {"size": np.full(500, 49_152.0)}
    assert not drifts(same, same)
    assert drifts(same, after(same, {"size": np.full(50, 12_288.0)}))


@given(st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_the_unit_of_a_feature_makes_no_difference(scale: float, shift: float) -> None:
    reference, window = confidences(0, 200), confidences(1, 200, mean=0.3)
    (found,) = DETECTOR.detect(reference, window)
    (other,) = DETECTOR.detect(
        *({name: value * scale + shift for name, value in one.items()} for one in (reference, window))
    )
    assert other.statistic == pytest.approx(found.statistic, abs=0.01)
