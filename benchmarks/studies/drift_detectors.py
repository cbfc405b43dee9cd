"""Detectors side by side: ours as the platform looks, and river's, one for each feature.

Each has seen the reference before. An alarm is of all features together.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, HDDM_A, HDDM_W

from app.monitoring.drift import MAX_WINDOW_EVENTS, SCAN_LENGTHS, Samples, ScanDetector
from benchmarks.studies.drift_streams import Stream

CHECK_INTERVAL_EVENTS = 8
"""Ours looks after so many events."""
FALSE_ALARM_RATE = ScanDetector().false_alarm_rate
KSWIN_WINDOW = 30
"""KSWIN compares as many events with those before, by default."""

MakeDetector = Callable[[int], Any]
"""One of river's detectors, when there are so many features."""


def platform_alarms(stream: Stream) -> Iterator[bool]:
    """Whether ours says, after each event, that there is drift now: as long as it lasts."""
    detector, drifted = ScanDetector(), False
    for after in range(1, 1 + len(next(iter(stream.events.values())))):
        if after % CHECK_INTERVAL_EVENTS == 0 and after >= SCAN_LENGTHS[0]:
            window = {name: values[max(0, after - MAX_WINDOW_EVENTS) : after] for name, values in stream.events.items()}
            drifted = any(one.drifted for one in detector.detect(stream.reference, window))
        yield drifted


def river_alarms(make: MakeDetector, memory: int = MAX_WINDOW_EVENTS) -> Callable[[Stream], Iterator[bool]]:
    """Whether any of river's detectors says, at each event, that there is drift; each begins anew by itself."""

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
"""With default settings; Bonferroni shares them among the features, KSWIN's for as many false alarms as ours."""

BINARY_DETECTORS = {
    "DDM": river_alarms(lambda features: DDM()),
    "HDDM_A": river_alarms(lambda features: HDDM_A()),  # type: ignore[no-untyped-call]
    "HDDM_W": river_alarms(lambda features: HDDM_W()),  # type: ignore[no-untyped-call]
}
"""Those that take bits alone."""
SLOW_DETECTORS = {"KSWIN", "KSWIN, Bonferroni"}
