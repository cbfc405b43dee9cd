"""Measure detection delay, missed drifts and false alarms of drift detectors: `python -m benchmarks.studies.drift`.

Streams come from `drift_streams`, detectors from `drift_detectors`. The first alarm during a drift detects it.
An alarm in a steady stream is false.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.studies.drift_detectors import BINARY_DETECTORS, DETECTORS, SLOW_DETECTORS
from benchmarks.studies.drift_streams import SCENARIOS, StreamKind, stream_kinds
from benchmarks.studies.summary import RESULTS, MeanInterval

EPISODE_GAP_EVENTS = 1_000
"""Alarms less than this apart count as one episode."""


@dataclass(frozen=True)
class DriftMeasurement:
    """A detector on one stream."""

    detector: str
    stream: str
    scenario: str
    """One of `SCENARIOS`, or `steady`, which has no drift and only false alarms."""
    seed: int
    delays: tuple[int | None, ...]
    """Events from the beginning of each drift to its first alarm; None if it is missed."""
    alarms: int
    """Alarms before the first drift."""
    events: int
    """Events before the first drift."""
    microseconds: float
    """Time for each event."""


def measure_detector(detector: str, kind: StreamKind, scenario: str, seed: int, steady: int) -> DriftMeasurement:
    """Measure a detector on a stream, which is the same for all detectors with the same seed."""
    rng = np.random.default_rng([seed, 81])
    stream = kind.steady(rng, steady) if scenario == "steady" else SCENARIOS[scenario](kind, rng)
    started = time.perf_counter()
    alarms = list[bool]()
    last = stream.drifted[-1][0] if stream.drifted else len(next(iter(stream.events.values())))
    for alarm in (DETECTORS | BINARY_DETECTORS)[detector](stream):
        alarms.append(alarm)
        if alarm and len(alarms) > last:  # the last drift is detected
            break
    seconds = time.perf_counter() - started
    steady_events = stream.drifted[0][0] if stream.drifted else len(alarms)
    return DriftMeasurement(
        detector,
        kind.name,
        scenario,
        seed,
        tuple(_detection_delay(alarms, *spell) for spell in stream.drifted),
        _count_episodes(alarms[:steady_events]),
        steady_events,
        seconds / len(alarms) * 1e6,
    )


def _detection_delay(alarms: Sequence[bool], start: int, end: int) -> int | None:
    return next((index + 1 for index, alarm in enumerate(alarms[start:end]) if alarm), None)


def _count_episodes(alarms: Sequence[bool]) -> int:
    """Count alarms; those closer than `EPISODE_GAP_EVENTS` are one that flickers about its threshold."""
    indices = np.flatnonzero(alarms)
    return len(indices) and 1 + int(np.sum(np.diff(indices) >= EPISODE_GAP_EVENTS))


def plan_measurements(
    kinds: Sequence[StreamKind], seeds: int, steady: int
) -> Iterator[tuple[str, StreamKind, str, int, int]]:
    """Yield the arguments of each measurement; slow detectors get fewer seeds and steady events."""
    for kind in kinds:
        binary = BINARY_DETECTORS if kind.name.endswith("labels") else {}
        for detector in (*DETECTORS, *binary):
            slow = detector in SLOW_DETECTORS
            for scenario in (*SCENARIOS, "steady"):
                for seed in range(2 if slow else seeds):
                    yield detector, kind, scenario, seed, steady // (10 if slow else 1)


def markdown(measurements: Sequence[DriftMeasurement], by_stream: bool) -> str:
    """Return a table with a row for each detector, over all streams or for each stream."""
    columns = ["detector", *(f"{scenario}: delay" for scenario in SCENARIOS), "missed", "false alarms / 100,000", "µs"]
    groups = defaultdict[tuple[str, str], list[DriftMeasurement]](list)
    for measurement in measurements:
        groups[measurement.stream if by_stream else "", measurement.detector].append(measurement)
    lines = [
        f"| {'stream | ' * by_stream}{' | '.join(columns)} |",
        "|---|" + "---|" * by_stream + "---:|" * (len(columns) - 1),
    ]
    for (stream, detector), group in groups.items():
        cells = [
            detector,
            *(_mean_delay(group, scenario) for scenario in SCENARIOS),
            _missed_share(group),
            _false_alarm_rate(group),
        ]
        cost = np.mean([measurement.microseconds for measurement in group])
        lines.append(f"| {f'{stream} | ' * by_stream}{' | '.join(cells)} | {cost:.0f} |")
    return "\n".join(lines)


def _mean_delay(measurements: Sequence[DriftMeasurement], scenario: str) -> str:
    """Return the mean delay of detected drifts, with its interval over seeds."""
    by_seed = defaultdict[int, list[int]](list)
    for measurement in measurements:
        if measurement.scenario == scenario:
            by_seed[measurement.seed] += [delay for delay in measurement.delays if delay is not None]
    means = [float(np.mean(delays)) for delays in by_seed.values() if delays]
    if len(means) < 2:
        return "-"
    interval = MeanInterval.from_values(means)
    return f"{interval.mean:.0f} ± {interval.half:.0f}"


def _missed_share(measurements: Sequence[DriftMeasurement]) -> str:
    delays = [delay for measurement in measurements for delay in measurement.delays]
    return f"{sum(delay is None for delay in delays) / len(delays):.0%}"


def _false_alarm_rate(measurements: Sequence[DriftMeasurement]) -> str:
    steady = [measurement for measurement in measurements if measurement.scenario == "steady"]
    alarms = sum(measurement.alarms for measurement in steady)
    return f"{alarms / sum(measurement.events for measurement in steady) * 1e5:.1f}"


def main(
    seeds: Annotated[int, typer.Option(min=2, help="Streams of each kind.")] = 5,
    steady: Annotated[int, typer.Option(help="Events of a steady stream.")] = 10_000,
    only: Annotated[str, typer.Option(help="Only streams whose name contains this.")] = "",
) -> None:
    """Measure, print both tables and save them with every figure in benchmarks/results."""
    kinds = [kind for kind in stream_kinds() if only in kind.name]
    console, measurements = Console(stderr=True), list[DriftMeasurement]()
    for arguments in track(list(plan_measurements(kinds, seeds, steady)), "streams", console=console):
        measurements.append(measure_detector(*arguments))
    tables = [markdown(measurements, False), markdown(measurements, True)]
    text = "\n\n".join(["# Drift", *tables, f"{seeds} seeds, {steady} steady events.\n"])
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"drift-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps(list(map(asdict, measurements)), indent=2) + "\n")
    path.with_suffix(".md").write_text(text)
    Console(soft_wrap=True, highlight=False).print(text, markup=False)


if __name__ == "__main__":
    typer.run(main)
