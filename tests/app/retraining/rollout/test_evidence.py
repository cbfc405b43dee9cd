"""The evidence of a rollout, from a catalog with two versions."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.events.cloudevents import Record
from app.events.types import Role
from app.retraining.rollout import evidence
from app.retraining.rollout.policy import RolloutEvidence
from models.base import Task
from tests.support.catalog_fixtures import TIMINGS, make_failure, make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START
from tests.support.scales import Scales


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


class ScalesWithNan(Scales):
    """Scales whose score is NaN."""

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return float("nan")


def gather(
    directory: Path, records: Sequence[Record], role: Role = "canary", task: Task | None = None
) -> RolloutEvidence:
    """Return the evidence of version 2 in this role and champion 1, for one hour from the start."""
    with open_catalog(directory, records) as catalog:
        return catalog.query(
            lambda it: evidence.gather_rollout_evidence(it, task or Scales(), ("2", role), "1", START, at(60))
        )


def timed(ms: float) -> dict[str, Any]:
    return {"timings_ms": TIMINGS | {"inference": ms / 2, "total": ms}}


def test_answers_are_counted_by_version_and_role_since_the_start(tmp_path: Path) -> None:
    records = [
        make_prediction(0, at(-1)),  # before
        make_prediction(1, at(0)),
        make_prediction(2, at(1)),
        make_prediction(3, at(-1), "2", "canary"),  # before
        make_prediction(4, at(2), "2", "canary"),
        make_prediction(4, at(2), "2", "shadow"),  # in another role
        make_prediction(5, at(3), "3", "canary"),  # another version
    ]
    found = gather(tmp_path, records)
    assert (found.candidate.answers, found.champion.answers, found.minutes) == (1, 2, 60)


def test_outcomes_of_other_tasks_do_not_count(tmp_path: Path) -> None:
    found = gather(
        tmp_path,
        [
            make_prediction(1, at(0), task="others"),
            make_prediction(2, at(0), "2", "canary", task="others"),
        ],
    )
    assert (found.candidate.answers, found.champion.answers) == (0, 0)


def test_failures_since_the_start_count_as_answers_and_errors(tmp_path: Path) -> None:
    records = [
        make_failure(0, at(-1), "2", "canary"),
        make_failure(1, at(0), "2", "canary"),
        make_failure(2, at(1), "2", "shadow"),
        make_prediction(3, at(1), "2", "canary"),
        make_failure(4, at(1)),
    ]
    found = gather(tmp_path, records)
    assert (found.candidate.answers, found.candidate.errors) == (2, 1)
    assert (found.champion.answers, found.champion.errors) == (1, 1)


def test_volunteers_do_not_displace_the_newest_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MAX_ROWS", 2)
    records = [
        *(
            record
            for n in (1, 2)
            for record in (
                make_prediction(n, at(n)),
                make_outcome(n, at(n + 5), "audit", score=0.1 * n),
            )
        ),
        *(
            record
            for n in (3, 4)
            for record in (
                make_prediction(n, at(n)),
                make_outcome(n, at(n + 5), "volunteer", score=0.9),
            )
        ),
    ]
    assert gather(tmp_path, records).champion.scores.tolist() == [0.1, 0.2]


def test_volunteers_scores_are_left_out(tmp_path: Path) -> None:
    records = [
        make_prediction(1, at(0)),
        make_outcome(1, at(5), "volunteer", score=0.1, label={"weight": 14.0}),
        make_prediction(2, at(0)),
        make_outcome(2, at(5), "audit", score=0.9, label={"weight": 6.0}),
        make_prediction(3, at(0), "2", "canary"),
        make_outcome(3, at(5), "all", score=0.8, label={"weight": 7.0}),
    ]
    found = gather(tmp_path, records)
    assert (list(found.candidate.scores), list(found.champion.scores)) == ([0.8], [0.9])


def test_outcomes_of_predictions_before_the_start_are_left_out(tmp_path: Path) -> None:
    """The time of the prediction counts, not that of the outcome."""
    found = gather(
        tmp_path,
        [make_prediction(1, at(-1)), make_outcome(1, at(5), score=0.9, label={"weight": 6.0})],
    )
    assert not len(found.champion.scores)


def test_outcomes_count_by_score_else_by_reward(tmp_path: Path) -> None:
    records = [
        make_prediction(1, at(0)),
        make_outcome(1, at(5), reward=-0.5),
        make_prediction(2, at(0)),
        make_outcome(2, at(6)),
    ]
    assert list(gather(tmp_path, records).champion.scores) == [-0.5]


def test_a_rejected_prediction_without_a_correction_scores_0(tmp_path: Path) -> None:
    """Leaving it out would leave out mistakes only."""
    records = [
        make_prediction(1, at(0), "2", "canary"),
        make_outcome(1, at(5), accepted=False),
        make_prediction(2, at(0), "2", "canary"),
        make_outcome(2, at(6), accepted=True, label={"weight": 5.0}, score=1.0),
    ]
    assert list(gather(tmp_path, records).candidate.scores) == [0.0, 1.0]


def test_beside_a_shadow_only_labels_count_for_the_champion_too(tmp_path: Path) -> None:
    """A rejection without a correction does not score the shadow's output."""
    records = [
        make_prediction(1, at(0)),
        make_prediction(1, at(0), "2", "shadow"),
        make_outcome(1, at(5), accepted=False),
    ]
    found = gather(tmp_path, records, "shadow")
    assert (len(found.champion.scores), len(found.candidate.scores)) == (0, 0)


def test_scores_are_in_the_order_of_their_outcomes(tmp_path: Path) -> None:
    records = [make_prediction(request, at(request)) for request in (1, 2, 3)]
    records += [make_outcome(request, at(10 - request), score=request / 10) for request in (1, 2, 3)]
    assert list(gather(tmp_path, records).champion.scores) == [0.3, 0.2, 0.1]


def test_a_shadow_is_scored_by_the_label_of_the_served_prediction(tmp_path: Path) -> None:
    label = {"weight": 7.0}
    records = [
        make_prediction(1, at(0), output={"weight": 5.0}),
        make_prediction(1, at(0), "2", "shadow", output={"weight": 6.0}),
        make_outcome(1, at(5), score=0.8, label=label),
        make_prediction(2, at(0)),  # of which the shadow said nothing
        make_outcome(2, at(5), score=0.7, label=label),
        make_prediction(3, at(0)),  # a volunteer's
        make_prediction(3, at(0), "2", "shadow", output={"weight": 7.0}),
        make_outcome(3, at(5), "volunteer", score=0.8, label=label),
        make_prediction(4, at(0)),  # rewarded, with no label to score the shadow by
        make_prediction(4, at(0), "2", "shadow", output={"weight": 7.0}),
        make_outcome(4, at(5), reward=1.0),
    ]
    found = gather(tmp_path, records, "shadow")
    assert list(found.candidate.scores) == pytest.approx([0.9])
    assert sorted(found.champion.scores) == pytest.approx([0.7, 0.8])


def test_a_shadows_non_finite_score_counts_as_0(tmp_path: Path) -> None:
    """As at the gate: NaN would never compare as worse."""
    records = [
        make_prediction(1, at(0)),
        make_prediction(1, at(0), "2", "shadow"),
        make_outcome(1, at(5), score=0.8, label={"weight": 7.0}),
    ]
    assert list(gather(tmp_path, records, "shadow", ScalesWithNan()).candidate.scores) == [0.0]


def test_another_shadows_outputs_are_not_scored_as_its_own(tmp_path: Path) -> None:
    records = [
        make_prediction(1, at(0)),
        make_prediction(1, at(0), "3", "shadow", output={"weight": 7.0}),
        make_outcome(1, at(5), score=0.8, label={"weight": 7.0}),
    ]
    assert not len(gather(tmp_path, records, "shadow").candidate.scores)


def test_beside_a_canary_latency_is_the_total(tmp_path: Path) -> None:
    found = gather(
        tmp_path,
        [make_prediction(1, at(0), **timed(8)), make_prediction(2, at(0), "2", "canary", **timed(6))],
    )
    assert (list(found.champion.latencies_ms), list(found.candidate.latencies_ms)) == ([8], [6])


def test_beside_a_shadow_latency_is_that_of_the_model_call(tmp_path: Path) -> None:
    """A shadow starts after the answer."""
    found = gather(
        tmp_path,
        [make_prediction(1, at(0), **timed(8)), make_prediction(1, at(0), "2", "shadow", **timed(6))],
        "shadow",
    )
    assert (list(found.champion.latencies_ms), list(found.candidate.latencies_ms)) == ([4], [3])


def test_the_newest_predictions_are_measured_and_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MAX_ROWS", 2)
    records = [make_prediction(request, at(request), **timed(request)) for request in (1, 2, 3)]
    records += [make_outcome(request, at(10 + request), score=request / 10) for request in (1, 2, 3)]
    arm = gather(tmp_path, records).champion
    assert (arm.answers, list(arm.latencies_ms), list(arm.scores)) == (3, [2, 3], [0.2, 0.3])


def test_the_range_of_scores_is_the_tasks_and_that_of_rewards_where_there_are_any(tmp_path: Path) -> None:
    class Wide(Scales):
        score_range = (-3.0, 1.0)

    labelled = [make_prediction(1, at(0), "2", "canary"), make_outcome(1, at(5), "audit", score=0.5)]
    rewarded = [*labelled, make_prediction(2, at(0)), make_outcome(2, at(5), "all", reward=0.5)]
    assert gather(tmp_path / "a", labelled, task=Wide()).score_range == (-3.0, 1.0)
    assert gather(tmp_path / "b", rewarded, task=Wide()).score_range == (-1.0, 1.0)
    assert gather(tmp_path / "c", rewarded, "shadow", Wide()).score_range == (-3.0, 1.0), "a shadow gets no reward"
