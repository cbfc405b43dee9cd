"""Detectors side by side: ours as the platform looks, and river's, one for each feature.

Each has seen the reference before. An alarm is of all features together.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM, HDDM_A, HDDM_W

from app.monitoring.drift import LENGTHS, LONGEST, Samples, Scan
from benchmarks.studies.drift_streams import Stream

EVERY = 8
"""Ours looks after so many events."""
FALSE_ALARMS = Scan().rate
KSWIN_WINDOW = 30
"""KSWIN compares as many events with those before, by default."""

Make = Callable[[int], Any]
"""One of river's detectors, when there are so many features."""


def scanned(stream: Stream) -> Iterator[bool]:
    """Whether ours says, after each event, that there is drift now: as long as it lasts."""
    detector, drifted = Scan(), False
    for after in range(1, 1 + len(next(iter(stream.events.values())))):
        if after % EVERY == 0 and after >= LENGTHS[0]:
            window = {name: values[max(0, after - LONGEST) : after] for name, values in stream.events.items()}
            drifted = any(one.drifted for one in detector.findings(stream.reference, window))
        yield drifted


def by_river(make: Make, memory: int = LONGEST) -> Callable[[Stream], Iterator[bool]]:
    """Whether any of river's detectors says, at each event, that there is drift; each begins anew by itself."""

    def alarms(stream: Stream) -> Iterator[bool]:
        detectors = {name: make(len(stream.events)) for name in stream.events}
        for row in _rows({name: values[-memory:] for name, values in stream.reference.items()}):
            _alarm(detectors, row)
        for row in _rows(stream.events):
            yield _alarm(detectors, row)

    return alarms


def _alarm(detectors: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    for name, detector in detectors.items():
        detector.update(row[name])
    return any(detector.drift_detected for detector in detectors.values())


def _rows(samples: Samples) -> Iterator[dict[str, Any]]:
    columns = {name: values.tolist() for name, values in samples.items()}
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


DETECTORS: dict[str, Callable[[Stream], Iterator[bool]]] = {
    "ours": scanned,
    "ADWIN": by_river(lambda features: ADWIN()),  # type: ignore[no-untyped-call]
    "ADWIN, Bonferroni": by_river(lambda features: ADWIN(delta=0.002 / features)),  # type: ignore[no-untyped-call]
    "PageHinkley": by_river(lambda features: PageHinkley()),
    "KSWIN": by_river(lambda features: KSWIN(seed=1), memory=100),
    "KSWIN, Bonferroni": by_river(lambda features: KSWIN(FALSE_ALARMS * KSWIN_WINDOW / features, seed=1), memory=100),
}
"""With default settings; Bonferroni shares them among the features, KSWIN's for as many false alarms as ours."""

OF_BITS = {
    "DDM": by_river(lambda features: DDM()),
    "HDDM_A": by_river(lambda features: HDDM_A()),  # type: ignore[no-untyped-call]
    "HDDM_W": by_river(lambda features: HDDM_W()),  # type: ignore[no-untyped-call]
}
"""Those that take bits alone."""
SLOW = {"KSWIN", "KSWIN, Bonferroni"}
