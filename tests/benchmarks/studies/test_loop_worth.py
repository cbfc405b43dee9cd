"""A short stream of the scales; `python -m benchmarks.studies.loop_worth TASK` is the long one."""

from pathlib import Path

import pytest

from benchmarks.studies.loop_worth.__main__ import build_section, recovered_share
from benchmarks.studies.loop_worth.policies import Comparison, PolicyResult
from benchmarks.studies.loop_worth.sources import STREAMED_TASKS
from benchmarks.studies.loop_worth.streams import Phase, draw_stream

DAYS, REQUESTS = 8, 60
PHASES = (Phase(0.25, "new", 0.0), Phase(1.0, "new", 0.9))
NOISE = 0.01
"""By chance the canary may answer those requests of a day that it answers better than the best version alone."""


def make_comparison() -> Comparison:
    scales = STREAMED_TASKS["scales"]
    return Comparison(scales, draw_stream(scales, DAYS, REQUESTS, 0, PHASES), audit_rate=1.0, seed=0)


@pytest.fixture(scope="module")
def results() -> dict[str, PolicyResult]:
    return {result.policy: result for result in make_comparison().results()}


def test_the_loop_is_worth_something_and_no_more_than_an_oracle(results: dict[str, PolicyResult]) -> None:
    never, loop, oracle = (results[name] for name in ("never", "loop", "oracle"))
    assert never.score < loop.score <= oracle.score + NOISE
    assert 0 < recovered_share(list(results.values())) < 1
    assert all(score <= best + NOISE for score, best in zip(never.daily_scores, oracle.daily_scores, strict=True))


def test_the_loop_trains_and_promotes_less_than_each_day(results: dict[str, PolicyResult]) -> None:
    loop, always = results["loop"], results["always"]
    assert 0 < loop.promotions <= loop.trainings < always.trainings
    assert results["never"].labels == 0 < loop.labels <= DAYS * REQUESTS == results["oracle"].labels


def test_the_same_seed_gives_the_same_loop(results: dict[str, PolicyResult], tmp_path: Path) -> None:
    assert make_comparison().follow_loop(tmp_path) == results["loop"]


def test_the_table_has_a_row_for_each_policy(results: dict[str, PolicyResult]) -> None:
    rows = build_section("scales", list(results.values())).rows
    assert [row[0] for row in rows] == ["never", "always", "loop", "oracle"]
    assert [row[2] for row in (rows[0], rows[-1])] == ["0%", "100%"]
    assert all(len(row[-1]) == DAYS for row in rows)
