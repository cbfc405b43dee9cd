"""Drift detectors: the platform's, and those of river, one for each feature.

Each has seen the reference before. An alarm of any feature is an alarm.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, HDDM_A, HDDM_W

from app.monitoring.drift import MAX_WINDOW_EVENTS, SCAN_LENGTHS, DriftBaseline, Samples, ScanDetector
from benchmarks.studies.drift_streams import Stream

CHECK_INTERVAL_EVENTS = 8
"""The platform's detector runs after this many events."""
FALSE_ALARM_RATE = ScanDetector().false_alarm_rate
KSWIN_WINDOW = 30
"""KSWIN's default: the number of newest events that it compares with those before."""

MakeDetector = Callable[[int], Any]
"""Make one of river's detectors, given the number of features."""


def platform_alarms(stream: Stream) -> Iterator[bool]:
    """Yield after each event whether the platform's detector reports drift."""
    detector, baseline, drifted = ScanDetector(), DriftBaseline(stream.reference), False
    for count in range(1, 1 + len(next(iter(stream.events.values())))):
        if count % CHECK_INTERVAL_EVENTS == 0 and count >= SCAN_LENGTHS[0]:
            window = {name: values[max(0, count - MAX_WINDOW_EVENTS) : count] for name, values in stream.events.items()}
            drifted = any(feature.drifted for feature in detector.detect(baseline, window))
        yield drifted


def river_alarms(make: MakeDetector, memory: int = MAX_WINDOW_EVENTS) -> Callable[[Stream], Iterator[bool]]:
    """Return a function that yields at each event whether any of river's detectors reports drift."""

    def alarms(stream: Stream) -> Iterator[bool]:
        detectors = {name: make(len(stream.events)) for name in stream.events}
        for row in _rows({name: values[-memory:] for name, values in stream.reference.items()}):
            _update_detectors(detectors, row)
        for row in _rows(stream.events):
            yield _update_detectors(detectors, row)

    return alarms


def _update_detectors(detectors: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    for name, detector in detectors.items():
        detector.update(row[name])
    return any(detector.drift_detected for detector in detectors.values())


def _rows(samples: Samples) -> Iterator[dict[str, Any]]:
    columns = {name: values.tolist() for name, values in samples.items()}
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


DETECTORS: dict[str, Callable[[Stream], Iterator[bool]]] = {
    "ours": platform_alarms,
    "ADWIN": river_alarms(lambda features: ADWIN()),  # type: ignore[no-untyped-call]
    "ADWIN, Bonferroni": river_alarms(lambda features: ADWIN(delta=0.002 / features)),  # type: ignore[no-untyped-call]
    "PageHinkley": river_alarms(lambda features: PageHinkley()),
    "KSWIN": river_alarms(lambda features: KSWIN(seed=1), memory=100),
    "KSWIN, Bonferroni": river_alarms(
        lambda features: KSWIN(FALSE_ALARM_RATE * KSWIN_WINDOW / features, seed=1), memory=100
    ),
}
"""With default settings. Bonferroni divides the level by the number of features; KSWIN's gives our false alarm rate."""

BINARY_DETECTORS = {
    "DDM": river_alarms(lambda features: DDM()),
    "HDDM_A": river_alarms(lambda features: HDDM_A()),  # type: ignore[no-untyped-call]
    "HDDM_W": river_alarms(lambda features: HDDM_W()),  # type: ignore[no-untyped-call]
}
"""Detectors of a binary stream."""
SLOW_DETECTORS = {"KSWIN", "KSWIN, Bonferroni"}
