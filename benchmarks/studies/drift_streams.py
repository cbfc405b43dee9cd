"""Streams of events whose distribution changes at known events: from river's generators, and from our tasks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.datasets import synth

from app.monitoring.drift import Samples
from benchmarks.studies.drifted import streams

REFERENCE_EVENTS = 1000
RAMP_EVENTS = 500
"""The length of a gradual drift: the share of drifted events grows from none to all."""
STEADY_EVENTS, DRIFTED_EVENTS = 500, 2000
PARTIAL_SHARE = 1 / 3
RECURRENCES, PAUSE_EVENTS, SPELL_EVENTS = 3, 500, 300
"""A recurring drift: how often it occurs, the events between, and its length in events."""

DrawSamples = Callable[[bool, int, np.random.Generator], Samples]
"""Draw events, drifted or baseline, in the order of their time: (drifted, count, rng)."""


class Stream(NamedTuple):
    """Events after a reference, and the ranges of them that have drifted: (start, end)."""

    reference: Samples
    events: Samples
    drifted: list[tuple[int, int]]


@dataclass(frozen=True)
class StreamKind:
    """A source of streams."""

    name: str
    draw: DrawSamples

    def sudden(self, rng: np.random.Generator) -> Stream:
        """Return a stream that drifts from one event to the next."""
        return self._stream(
            rng,
            np.arange(STEADY_EVENTS + DRIFTED_EVENTS) >= STEADY_EVENTS,
            [(STEADY_EVENTS, STEADY_EVENTS + DRIFTED_EVENTS)],
        )

    def gradual(self, rng: np.random.Generator) -> Stream:
        """Return a stream with a growing share of drifted events; delay counts from the first that may be drifted."""
        share = (np.arange(STEADY_EVENTS + DRIFTED_EVENTS) - STEADY_EVENTS) / RAMP_EVENTS
        return self._stream(rng, rng.random(len(share)) < share, [(STEADY_EVENTS, STEADY_EVENTS + DRIFTED_EVENTS)])

    def partial(self, rng: np.random.Generator) -> Stream:
        """Return a stream with a constant share of drifted events from one event on: a second source."""
        drifted = (np.arange(STEADY_EVENTS + DRIFTED_EVENTS) >= STEADY_EVENTS) & (
            rng.random(STEADY_EVENTS + DRIFTED_EVENTS) < PARTIAL_SHARE
        )
        return self._stream(rng, drifted, [(STEADY_EVENTS, STEADY_EVENTS + DRIFTED_EVENTS)])

    def recurring(self, rng: np.random.Generator) -> Stream:
        """Return a stream with several short drifts."""
        period = PAUSE_EVENTS + SPELL_EVENTS
        spells = [(number * period + PAUSE_EVENTS, (number + 1) * period) for number in range(RECURRENCES)]
        return self._stream(rng, np.arange(RECURRENCES * period) % period >= PAUSE_EVENTS, spells)

    def steady(self, rng: np.random.Generator, events: int) -> Stream:
        """Return a stream without drift."""
        return self._stream(rng, np.zeros(events, bool), [])

    def _stream(self, rng: np.random.Generator, is_drifted: NDArray[np.bool_], spells: list[tuple[int, int]]) -> Stream:
        baseline = self.draw(False, REFERENCE_EVENTS + len(is_drifted), rng)
        drifted = self.draw(True, len(is_drifted), rng) if is_drifted.any() else baseline
        reference = {name: values[:REFERENCE_EVENTS] for name, values in baseline.items()}
        events = {
            name: np.where(is_drifted, drifted[name][-len(is_drifted) :], baseline[name][REFERENCE_EVENTS:])
            for name in baseline
        }
        return Stream(reference, events, spells)


SCENARIOS = {
    "sudden": StreamKind.sudden,
    "a third": StreamKind.partial,
    "gradual": StreamKind.gradual,
    "recurring": StreamKind.recurring,
}


def task_stream_kind(name: str, features: tuple[str, ...] = ()) -> StreamKind:
    """Return the requests of a task as its shipped version answers them, drawn from those of `drifted.streams`.

    Reference and events are drawn with replacement from the same pool: two halves of so few would differ by themselves.
    """
    frame = streams.read_stream(name)
    columns = features or tuple(column for column in frame.columns if "." in column)
    pools = {
        drifted: frame.filter(drifted=drifted).select(columns).to_numpy().astype(np.float64)
        for drifted in (False, True)
    }

    def draw(drifted: bool, count: int, rng: np.random.Generator) -> Samples:
        rows = rng.choice(pools[drifted], count)
        return {column: rows[:, index] for index, column in enumerate(columns)}

    return StreamKind(name, draw)


def _river_stream_kind(
    name: str, make: Callable[[bool, int], Iterator[tuple[dict[Any, float], int]]], labels: bool
) -> StreamKind:
    def draw(drifted: bool, count: int, rng: np.random.Generator) -> Samples:
        examples = list(islice(make(drifted, int(rng.integers(2**31))), count))
        if labels:
            return {"label": np.array([label for _, label in examples], np.float64)}
        return {str(name): np.array([row[name] for row, _ in examples], np.float64) for name in examples[0][0]}

    return StreamKind(name, draw)


def stream_kinds() -> list[StreamKind]:
    """Return all streams. A `labels` stream has a changing rule, an `inputs` stream has moving clusters."""
    return [
        *(task_stream_kind(name) for name in ("ocr", "speech_to_text", "object_detection")),
        task_stream_kind("decision", DECISION_FEATURES),
        _river_stream_kind(
            "river's SEA, labels", lambda drifted, seed: iter(synth.SEA(3 if drifted else 2, seed=seed)), True
        ),
        _river_stream_kind(
            "river's Agrawal, labels", lambda drifted, seed: iter(synth.Agrawal(2 if drifted else 0, seed=seed)), True
        ),
        _river_stream_kind(
            "river's random RBF, inputs",
            lambda drifted, seed: iter(synth.RandomRBF(2 if drifted else 1, seed, n_features=5, n_centroids=10)),
            False,
        ),
    ]


DECISION_FEATURES = (
    "inputs.context.device=phone",
    "inputs.context.hour",
    "inputs.context.budget",
    "inputs.actions",
    "outputs.confidence",
    "outputs.length",
)
"""The least correlated of the task's 26 features, so that the slow detectors finish."""
