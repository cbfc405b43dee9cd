"""`python -m benchmarks.studies.drift`: how soon drift is found, how much is missed, and how often it is only chance.

Streams come from `drift_streams`, detectors from `drift_detectors`. The first alarm during a drift detects it.
A false alarm is one in a steady stream.
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

from benchmarks.__main__ import RESULTS
from benchmarks.studies.drift_detectors import BINARY_DETECTORS, DETECTORS, SLOW_DETECTORS
from benchmarks.studies.drift_streams import SCENARIOS, StreamKind, stream_kinds
from benchmarks.studies.rewards import MeanInterval

EPISODE_GAP_EVENTS = 1_000
"""Events without an alarm after which the next one is another."""


@dataclass(frozen=True)
class DriftMeasurement:
    """A detector on one stream."""

    detector: str
    stream: str
    scenario: str
    """`steady` has no drift, only false alarms."""
    seed: int
    delays: tuple[int | None, ...]
    """Events from the beginning of each drift to its first alarm; None is missed."""
    alarms: int
    """Alarms before the first drift."""
    events: int
    """Events before the first drift."""
    microseconds: float
    """An event took."""


def measure_detector(detector: str, kind: StreamKind, scenario: str, seed: int, steady: int) -> DriftMeasurement:
    """One detector on one stream, the same for the same seed whoever looks."""
    rng = np.random.default_rng([seed, 81])
    stream = kind.steady(rng, steady) if scenario == "steady" else SCENARIOS[scenario](kind, rng)
    started = time.perf_counter()
    alarms = list[bool]()
    last = stream.drifted[-1][0] if stream.drifted else len(next(iter(stream.events.values())))
    for alarm in (DETECTORS | BINARY_DETECTORS)[detector](stream):
        alarms.append(alarm)
        if alarm and len(alarms) > last:  # what comes after the last drift was found is nobody's business
            break
    spent = time.perf_counter() - started
    quiet = stream.drifted[0][0] if stream.drifted else len(alarms)
    return DriftMeasurement(
        detector,
        kind.name,
        scenario,
        seed,
        tuple(_detection_delay(alarms, *spell) for spell in stream.drifted),
        _count_episodes(alarms[:quiet]),
        quiet,
        spent / len(alarms) * 1e6,
    )


def _detection_delay(alarms: Sequence[bool], start: int, end: int) -> int | None:
    return next((place + 1 for place, alarm in enumerate(alarms[start:end]) if alarm), None)


def _count_episodes(alarms: Sequence[bool]) -> int:
    """How often there was an alarm: those less than 1,000 events apart are one, which flickers about its threshold."""
    places = np.flatnonzero(alarms)
    return len(places) and 1 + int(np.sum(np.diff(places) >= EPISODE_GAP_EVENTS))


def plan_measurements(
    found: Sequence[StreamKind], seeds: int, steady: int
) -> Iterator[tuple[str, StreamKind, str, int, int]]:
    """What is to be measured; the slow ones see fewer steady events."""
    for kind in found:
        bits = BINARY_DETECTORS if kind.name.endswith("labels") else {}
        for detector in (*DETECTORS, *bits):
            slow = detector in SLOW_DETECTORS
            for scenario in (*SCENARIOS, "steady"):
                for seed in range(2 if slow else seeds):
                    yield detector, kind, scenario, seed, steady // (10 if slow else 1)


def markdown(found: Sequence[DriftMeasurement], by_stream: bool) -> str:
    """A row for each detector, of all streams or of each."""
    columns = ["detector", *(f"{scenario}: delay" for scenario in SCENARIOS), "missed", "false alarms / 100,000", "µs"]
    groups = defaultdict[tuple[str, str], list[DriftMeasurement]](list)
    for one in found:
        groups[one.stream if by_stream else "", one.detector].append(one)
    lines = [
        f"| {'stream | ' * by_stream}{' | '.join(columns)} |",
        "|---|" + "---|" * by_stream + "---:|" * (len(columns) - 1),
    ]
    for (stream, detector), some in groups.items():
        cells = [
            detector,
            *(_mean_delay(some, scenario) for scenario in SCENARIOS),
            _missed_share(some),
            _false_alarm_rate(some),
        ]
        cost = np.mean([one.microseconds for one in some])
        lines.append(f"| {f'{stream} | ' * by_stream}{' | '.join(cells)} | {cost:.0f} |")
    return "\n".join(lines)


def _mean_delay(found: Sequence[DriftMeasurement], scenario: str) -> str:
    """The mean over what was found, with its interval over seeds."""
    by_seed = defaultdict[int, list[int]](list)
    for one in found:
        if one.scenario == scenario:
            by_seed[one.seed] += [delay for delay in one.delays if delay is not None]
    means = [float(np.mean(delays)) for delays in by_seed.values() if delays]
    if len(means) < 2:
        return "-"
    interval = MeanInterval.from_values(means)
    return f"{interval.mean:.0f} ± {interval.half:.0f}"


def _missed_share(found: Sequence[DriftMeasurement]) -> str:
    delays = [delay for one in found for delay in one.delays]
    return f"{sum(delay is None for delay in delays) / len(delays):.0%}"


def _false_alarm_rate(found: Sequence[DriftMeasurement]) -> str:
    steady = [one for one in found if one.scenario == "steady"]
    return f"{sum(one.alarms for one in steady) / sum(one.events for one in steady) * 1e5:.1f}"


def main(
    seeds: Annotated[int, typer.Option(min=2, help="Streams of each kind.")] = 5,
    steady: Annotated[int, typer.Option(help="Events of a steady stream.")] = 10_000,
    only: Annotated[str, typer.Option(help="Streams whose name has this in it.")] = "",
) -> None:
    """Measure, print both tables and save them with every figure in benchmarks/results."""
    chosen = [kind for kind in stream_kinds() if only in kind.name]
    console, found = Console(stderr=True), list[DriftMeasurement]()
    for one in track(list(plan_measurements(chosen, seeds, steady)), "streams", console=console):
        found.append(measure_detector(*one))
    text = "\n\n".join(
        ["# Drift", markdown(found, False), markdown(found, True), f"{seeds} seeds, {steady} steady events.\n"]
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"drift-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.json"
    path.write_text(json.dumps(list(map(asdict, found)), indent=2) + "\n")
    path.with_suffix(".md").write_text(text)
    Console(soft_wrap=True, highlight=False).print(text, markup=False)


if __name__ == "__main__":
    typer.run(main)
