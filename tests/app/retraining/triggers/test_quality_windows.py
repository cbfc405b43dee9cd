"""The evidence for a fall of quality, and the reference of a champion, from a catalog of outcomes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from app.events.base import ModelRef
from app.events.cloudevents import Record
from app.events.model_events import ModelRegistered
from app.retraining.triggers.catalog_observer import Observer
from app.retraining.triggers.observation import WindowCache
from tests.app.retraining.triggers.test_catalog_observer import (
    PLAN,
    at,
    build_models,
    ended,
    gated_run,
    observe,
    reference_score,
    triggered,
)
from tests.support.catalog_fixtures import TASK, make_outcome, make_prediction, open_catalog
from tests.support.scales import Scales


def labelled_windows(scores: Sequence[float], labelled: int = 100) -> list[Record]:
    """Return an hour with so many labels for each score."""
    requests = [(hour, hour * labelled + number) for hour in range(len(scores)) for number in range(labelled)]
    return [
        record
        for hour, request in requests
        for record in (
            make_prediction(request, at(60 * hour)),
            make_outcome(request, at(60 * hour + 1), score=scores[hour]),
        )
    ]


def test_live_windows_replace_the_score_at_the_gate_and_reach_no_further_than_the_first_1000_labels(
    tmp_path: Path,
) -> None:
    gate = (
        -7,
        ModelRegistered(
            task=TASK,
            model=ModelRef(name=TASK, version="1"),
            artifact="blob://x",
            card={},
            run_id="r",
            preprocess_version="1",
        ),
    )
    run = [*gated_run("1", 0.5)[:2], gate, (-5, ended())]
    records = labelled_windows([0.75] * 2 + [0.25] * 3, labelled=500)
    assert reference_score(observe(tmp_path, records, 60 * 5 + 10, build_models(*run))) == 0.75


def test_the_evidence_of_a_fall_is_the_windows_since_a_run_answered_one(tmp_path: Path) -> None:
    records = labelled_windows([0.9, 0.8, 0.7, 0.6, 0.5])
    answered = [(130, triggered(trigger="quality")), (131, ended())]
    before, after = (observe(tmp_path, records, 60 * 5 + 10, build_models(*events)) for events in ([], answered))
    assert [round(one.score or 0, 6) for one in before.quality_history] == [0.9, 0.8, 0.7, 0.6]
    assert [round(one.score or 0, 6) for one in after.quality_history] == [0.6]
    assert (reference_score(before), reference_score(after)) == pytest.approx((0.75, 0.85))
    assert (before.fall_runs, after.fall_runs) == (0, 1)


def test_windows_without_enough_answers_are_no_evidence_until_they_have_them(tmp_path: Path) -> None:
    kept: WindowCache = {}
    unanswered = [make_prediction(5000, at(61)), make_outcome(5000, at(62))]
    records = [*labelled_windows([0.9], labelled=4), *unanswered]

    def look(records: Sequence[Record]) -> list[float | None]:
        with open_catalog(tmp_path, records) as catalog:
            found = catalog.query(
                lambda connection: Observer(Scales(), build_models(), PLAN, kept).observe(connection, at(190))
            )
        return [one.score for one in found.quality_history]

    assert look(records) == pytest.approx([0.9])
    assert look([*records, make_outcome(5000, at(100), score=0.5)]) == pytest.approx([0.9, 0.5])


def test_a_champion_that_passed_by_rewards_has_its_reward_as_reference(tmp_path: Path) -> None:
    found = observe(tmp_path, [], 200, build_models(*gated_run("2", -0.3, "reward_candidate")))
    assert found.reference is not None
    assert (found.reference.score, found.reference.standard_error) == pytest.approx((-0.3, 0.02))
