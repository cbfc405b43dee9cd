"""Streams of events whose distribution changes where it is known: by river's generators, and by our tasks' drifts."""

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
"""Events in which a gradual drift comes: the share of drifted events grows from none to all."""
STEADY_EVENTS, DRIFTED_EVENTS = 500, 2000
PARTIAL_SHARE = 1 / 3
RECURRENCES, PAUSE_EVENTS, SPELL_EVENTS = 3, 500, 300
"""Of a recurring drift: how often it comes, events between, and how many it lasts."""

DrawSamples = Callable[[bool, int, np.random.Generator], Samples]
"""So many events, drifted ones or usual ones, in the order of their time."""


class Stream(NamedTuple):
    """Events after a reference, and the stretches of them, from and to, that have drifted."""

    reference: Samples
    events: Samples
    drifted: list[tuple[int, int]]


@dataclass(frozen=True)
class StreamKind:
    """Where events come from."""

    name: str
    draw: DrawSamples

    def sudden(self, rng: np.random.Generator) -> Stream:
        """From one event to the next."""
        return self._stream(
            rng,
            np.arange(STEADY_EVENTS + DRIFTED_EVENTS) >= STEADY_EVENTS,
            [(STEADY_EVENTS, STEADY_EVENTS + DRIFTED_EVENTS)],
        )

    def gradual(self, rng: np.random.Generator) -> Stream:
        """More and more events are drifted; late is counted from the first that may be."""
        share = (np.arange(STEADY_EVENTS + DRIFTED_EVENTS) - STEADY_EVENTS) / RAMP_EVENTS
        return self._stream(rng, rng.random(len(share)) < share, [(STEADY_EVENTS, STEADY_EVENTS + DRIFTED_EVENTS)])

    def partial(self, rng: np.random.Generator) -> Stream:
        """From one event on, a share of the events is drifted: a new source beside the old ones."""
        drifted = (np.arange(STEADY_EVENTS + DRIFTED_EVENTS) >= STEADY_EVENTS) & (
            rng.random(STEADY_EVENTS + DRIFTED_EVENTS) < PARTIAL_SHARE
        )
        return self._stream(rng, drifted, [(STEADY_EVENTS, STEADY_EVENTS + DRIFTED_EVENTS)])

    def recurring(self, rng: np.random.Generator) -> Stream:
        """It comes for a while, again and again."""
        every = PAUSE_EVENTS + SPELL_EVENTS
        spells = [(number * every + PAUSE_EVENTS, (number + 1) * every) for number in range(RECURRENCES)]
        return self._stream(rng, np.arange(RECURRENCES * every) % every >= PAUSE_EVENTS, spells)

    def steady(self, rng: np.random.Generator, events: int) -> Stream:
        """It never comes."""
        return self._stream(rng, np.zeros(events, bool), [])

    def _stream(self, rng: np.random.Generator, is_drifted: NDArray[np.bool_], spells: list[tuple[int, int]]) -> Stream:
        usual = self.draw(False, REFERENCE_EVENTS + len(is_drifted), rng)
        drifted = self.draw(True, len(is_drifted), rng) if is_drifted.any() else usual
        reference = {name: values[:REFERENCE_EVENTS] for name, values in usual.items()}
        events = {
            name: np.where(is_drifted, drifted[name][-len(is_drifted) :], usual[name][REFERENCE_EVENTS:])
            for name in usual
        }
        return Stream(reference, events, spells)


SCENARIOS = {
    "sudden": StreamKind.sudden,
    "a third": StreamKind.partial,
    "gradual": StreamKind.gradual,
    "recurring": StreamKind.recurring,
}


def task_stream_kind(name: str, features: tuple[str, ...] = ()) -> StreamKind:
    """Return a task's own requests as its shipped version answers them, drawn from those of `drifted.streams`.

    With replacement, a reference and what comes after alike: two halves of so few would differ by more than by chance.
    """
    frame = streams.read_stream(name)
    watched = features or tuple(one for one in frame.columns if "." in one)
    pools = {
        drifted: frame.filter(drifted=drifted).select(watched).to_numpy().astype(np.float64)
        for drifted in (False, True)
    }

    def draw(drifted: bool, count: int, rng: np.random.Generator) -> Samples:
        rows = rng.choice(pools[drifted], count)
        return {one: rows[:, place] for place, one in enumerate(watched)}

    return StreamKind(name, draw)


def _river_stream_kind(
    name: str, make: Callable[[bool, int], Iterator[tuple[dict[Any, float], int]]], labels: bool
) -> StreamKind:
    def draw(drifted: bool, count: int, rng: np.random.Generator) -> Samples:
        made = list(islice(make(drifted, int(rng.integers(2**31))), count))
        if labels:
            return {"label": np.array([label for _, label in made], np.float64)}
        return {str(one): np.array([row[one] for row, _ in made], np.float64) for one in made[0][0]}

    return StreamKind(name, draw)


def stream_kinds() -> list[StreamKind]:
    """All streams: `labels` are of a generator whose rule changes, `inputs` of one whose clusters move."""
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
"""Those of the task's 26 features that are not much the same, so that the slow detectors end."""
