"""Measure drift detection on events that depend on each other: `python -m benchmarks.studies.drift_dependence`.

Each stream has five features. After a past of 24 stretches of 1,000 events it is stationary, or one feature shifts by a
standard deviation, or the correlation of two features turns from +0.95 to -0.95. "Independent" is the scan with the
thresholds for independent events; ADWIN has seen the past too.
"""

from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import typer
from river.drift import ADWIN
from scipy.signal import lfilter

from app.monitoring import drift
from app.monitoring.drift import DriftBaseline, Samples, ScanDetector
from app.monitoring.drift_joint import JointDetector
from benchmarks.studies.summary import RESULTS
from models.off_policy import Floats

FEATURES = 5
STRETCH_EVENTS, STRETCHES = 1000, 24
PAST_EVENTS = STRETCH_EVENTS * STRETCHES
STEADY_EVENTS, CHANGED_EVENTS = 400, 2000
EPISODE_GAP_EVENTS = 1000
DAY_EVENTS = 8000
CORRELATION = 0.95

Alarms = Callable[[Floats], Iterator[int]]
"""Takes a stream (features, events); yields the events after the past at which it alarms."""


def autoregressive(rng: np.random.Generator, events: int, phi: float) -> Floats:
    """Return stationary AR(1) features of variance 1."""
    noise = rng.normal(size=(FEATURES, events + 500))
    return np.asarray(lfilter([np.sqrt(1 - phi**2)], [1, -phi], noise, axis=1)[:, 500:])


def bursts(rng: np.random.Generator, events: int, share: float) -> Floats:
    """Return features of which this share of the variance is between keys, which send 10 events in a row on average."""
    keys = np.repeat(np.arange(events), rng.geometric(0.1, size=events))[:events]
    between = rng.normal(size=(FEATURES, events))[:, keys]
    return np.asarray(np.sqrt(share) * between + np.sqrt(1 - share) * rng.normal(size=(FEATURES, events)))


def daily(rng: np.random.Generator, events: int) -> Floats:
    """Return independent features of which the first has a daily pattern."""
    features = rng.normal(size=(FEATURES, events))
    features[0] += 0.25 * np.sin(2 * np.pi * (np.arange(events) / DAY_EVENTS + rng.random()))
    return features


STREAMS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "i.i.d.": lambda rng, events: autoregressive(rng, events, 0.0),
    "AR(1) 0.3": lambda rng, events: autoregressive(rng, events, 0.3),
    "AR(1) 0.6": lambda rng, events: autoregressive(rng, events, 0.6),
    "AR(1) 0.9": lambda rng, events: autoregressive(rng, events, 0.9),
    "bursts, 10 %": lambda rng, events: bursts(rng, events, 0.1),
    "bursts, 30 %": lambda rng, events: bursts(rng, events, 0.3),
    "daily pattern": daily,
}


def calibrated(check_events: int) -> Alarms:
    """Return the alarms of the platform's detectors, which look after so many events."""
    return lambda stream: _platform_alarms(stream, check_events, [ScanDetector(), JointDetector()], is_calibrated=True)


def independent(check_events: int) -> Alarms:
    """Return the alarms of the scan that assumes independent events."""
    return lambda stream: _platform_alarms(stream, check_events, [ScanDetector()], is_calibrated=False)


def adwin(check_events: int) -> Alarms:
    """Return the alarms of ADWIN with river's default, one for each feature."""

    def alarms(stream: Floats) -> Iterator[int]:
        detectors = [ADWIN() for _ in range(FEATURES)]  # type: ignore[no-untyped-call]
        for event, row in enumerate(stream.T.tolist()):
            for detector, value in zip(detectors, row, strict=True):
                detector.update(value)  # type: ignore[no-untyped-call]
            if event >= PAST_EVENTS and any(detector.drift_detected for detector in detectors):
                yield event + 1 - PAST_EVENTS

    return alarms


DETECTORS: dict[str, Callable[[int], Alarms]] = {"ours": calibrated, "independent": independent, "ADWIN": adwin}


def _platform_alarms(
    stream: Floats, check_events: int, detectors: list[drift.DriftDetector], is_calibrated: bool
) -> Iterator[int]:
    past = [to_samples(stream[:, start : start + STRETCH_EVENTS]) for start in range(0, PAST_EVENTS, STRETCH_EVENTS)]
    reference = to_samples(stream[:, : PAST_EVENTS : PAST_EVENTS // 2000])
    baseline = DriftBaseline(reference, past if is_calibrated else [{}])
    for end in range(PAST_EVENTS + check_events, stream.shape[1] + 1, check_events):
        window = to_samples(stream[:, max(PAST_EVENTS, end - STRETCH_EVENTS) : end])
        if any(finding.drifted for detector in detectors for finding in detector.detect(baseline, window)):
            yield end - PAST_EVENTS


def to_samples(stream: Floats) -> Samples:
    """Return each row as a feature."""
    return {f"inputs.{number}": values for number, values in enumerate(stream)}


def count_false_alarms(detector: str, stream: str, seed: int, events: int) -> int:
    """Return the false alarms in a stationary stream; those less than 1,000 events apart are one."""
    features = STREAMS[stream](np.random.default_rng([seed, 1]), PAST_EVENTS + events)
    alarms = list(DETECTORS[detector](80)(features))
    return len(alarms) and 1 + int(np.sum(np.diff(alarms) >= EPISODE_GAP_EVENTS))


def measure_delay(detector: str, stream: str, seed: int, shift: float) -> int | None:
    """Return the events until the first alarm after one feature has shifted; None without any."""
    events = PAST_EVENTS + STEADY_EVENTS + CHANGED_EVENTS
    features = STREAMS[stream](np.random.default_rng([seed, 2]), events)
    features[0, PAST_EVENTS + STEADY_EVENTS :] += shift
    return _first_alarm(detector, features)


def measure_flip_delay(detector: str, seed: int) -> int | None:
    """Return the events until the first alarm after a correlation has turned, which changes no feature by itself."""
    rng = np.random.default_rng([seed, 3])
    events = PAST_EVENTS + STEADY_EVENTS + CHANGED_EVENTS
    features = autoregressive(rng, events, 0.0)
    sign = np.where(np.arange(events) < PAST_EVENTS + STEADY_EVENTS, 1, -1)
    features[1] = sign * CORRELATION * features[0] + np.sqrt(1 - CORRELATION**2) * features[1]
    return _first_alarm(detector, features)


def _first_alarm(detector: str, features: Floats) -> int | None:
    later = (event - STEADY_EVENTS for event in DETECTORS[detector](8)(features) if event > STEADY_EVENTS)
    return next(later, None)


def _format_delays(delays: list[int | None]) -> str:
    found = [delay for delay in delays if delay is not None]
    return f"{np.median(found):.0f} ({len(found)}/{len(delays)})" if found else f"- (0/{len(delays)})"


def main(
    seeds: Annotated[int, typer.Option(help="Streams of each kind.")] = 10,
    events: Annotated[int, typer.Option(help="Events of a stationary stream.")] = 20_000,
    only: Annotated[str, typer.Option(help="Only streams whose name contains this.")] = "",
) -> None:
    """Print and save the table: false alarms per 100,000 events, and the median delay with the share that was found."""
    lines = ["| stream | detector | false alarms / 100,000 | 1 sd | 0.5 sd |", "|---|---|---:|---:|---:|"]
    for stream in (name for name in STREAMS if only in name):
        for detector in DETECTORS:
            alarms = sum(count_false_alarms(detector, stream, seed, events) for seed in range(seeds))
            delays = [[measure_delay(detector, stream, seed, shift) for seed in range(seeds)] for shift in (1.0, 0.5)]
            rate = alarms / (seeds * events) * 1e5
            lines.append(f"| {stream} | {detector} | {rate:.1f} | {' | '.join(map(_format_delays, delays))} |")
            print(lines[-1], flush=True)
    for detector in DETECTORS:
        flips = _format_delays([measure_flip_delay(detector, seed) for seed in range(seeds)])
        lines.append(f"| correlation turns | {detector} | | {flips} | |")
        print(lines[-1], flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "drift-dependence.md").write_text("\n".join(lines) + f"\n\n{seeds} seeds of {events:,} events.\n")


if __name__ == "__main__":
    typer.run(main)
