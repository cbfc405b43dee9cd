"""The short form of the study of drift on events that depend on each other."""

import numpy as np
import pytest

from benchmarks.studies.drift_dependence import STREAMS, count_false_alarms, measure_delay, measure_flip_delay


@pytest.mark.parametrize("stream", ["AR(1) 0.9", "bursts, 10 %", "daily pattern"])
def test_stationary_streams_have_no_false_alarm(stream: str) -> None:
    assert count_false_alarms("ours", stream, seed=0, events=2000) == 0


def test_a_shift_and_a_turned_correlation_are_found() -> None:
    delay, flip = measure_delay("ours", "i.i.d.", 0, 1.0), measure_flip_delay("ours", 0)
    assert delay is not None
    assert delay < 100
    assert flip is not None
    assert flip < 300


@pytest.mark.parametrize("stream", STREAMS)
def test_streams_have_variance_1(stream: str) -> None:
    assert np.var(STREAMS[stream](np.random.default_rng(0), 20_000)) == pytest.approx(1.0, abs=0.15)
