"""The evidence of a rollout, from a catalog with two versions."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.events.cloudevents import Record
from app.events.types import Role
from app.retraining.rollout import evidence
from app.retraining.rollout.comparison import Arm, RolloutEvidence
from app.settings.rollout import RolloutSettings
from models.base import Task
from tests.support.catalog_fixtures import TIMINGS, make_failure, make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START
from tests.support.scales import Scales

BY_REQUEST = RolloutSettings(assignment="request")
BY_KEY = RolloutSettings()


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


class ScalesWithNan(Scales):
    """Scales whose score is NaN."""

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return float("nan")


def gather(
    directory: Path,
    records: Sequence[Record],
    role: Role = "canary",
    task: Task | None = None,
    plan: RolloutSettings = BY_REQUEST,
) -> RolloutEvidence:
    """Return the evidence of version 2 in this role and champion 1, for one hour from the start."""
    with open_catalog(directory, records) as catalog:
        return catalog.query(
            lambda it: evidence.gather_rollout_evidence(it, task or Scales(), ("2", role), "1", START, at(60), plan)
        )


def score_sum(arm: Arm) -> tuple[float, Any]:
    """Return the number of scores, and their sum."""
    return arm.scores.count, float(arm.scores.sums.sum().round(9))


def latencies(arm: Arm) -> dict[float, int]:
    return dict(zip(arm.latencies_ms.values.tolist(), arm.latencies_ms.counts.tolist(), strict=True))


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
    assert (score_sum(found.candidate), score_sum(found.champion)) == ((1, 0.8), (1, 0.9))


def test_answers_of_volunteers_alone_are_no_answers_of_the_audit(tmp_path: Path) -> None:
    """They are mostly mistakes, so that any version would seem to be worse than the one of which fewer are seen."""
    records = [
        record
        for request, answered in enumerate([False, True, None])
        for record in (
            make_prediction(request, at(0)),
            make_prediction(request, at(0), "2", "shadow", output={"weight": 7.0}),
            make_outcome(request, at(5), score=0.5, label={"weight": 7.0}, audit_answered=answered),
        )
    ]
    rejected = [make_prediction(8, at(0)), make_outcome(8, at(5), accepted=False, audit_answered=False)]
    rewarded = [make_prediction(9, at(0)), make_outcome(9, at(5), reward=0.25, audit_answered=False)]
    assert score_sum(gather(tmp_path, [*records, *rejected, *rewarded]).champion) == (3, 1.25)
    assert gather(tmp_path / "shadow", records, "shadow").losses == pytest.approx([-0.5, -0.5])


def test_outcomes_of_predictions_before_the_start_are_left_out(tmp_path: Path) -> None:
    """The time of the prediction counts, not that of the outcome."""
    found = gather(
        tmp_path,
        [make_prediction(1, at(-1)), make_outcome(1, at(5), score=0.9, label={"weight": 6.0})],
    )
    assert found.champion.scores.count == 0


def test_outcomes_count_by_score_else_by_reward(tmp_path: Path) -> None:
    records = [
        make_prediction(1, at(0)),
        make_outcome(1, at(5), reward=-0.5),
        make_prediction(2, at(0)),
        make_outcome(2, at(6)),
    ]
    assert score_sum(gather(tmp_path, records).champion) == (1, -0.5)


def test_a_rejected_prediction_without_a_correction_scores_0(tmp_path: Path) -> None:
    """Leaving it out would leave out mistakes only."""
    records = [
        make_prediction(1, at(0), "2", "canary"),
        make_outcome(1, at(5), accepted=False),
        make_prediction(2, at(0), "2", "canary"),
        make_outcome(2, at(6), accepted=True, label={"weight": 5.0}, score=1.0),
    ]
    assert score_sum(gather(tmp_path, records).candidate) == (2, 1.0)


def test_scores_are_summed_by_key_if_keys_are_assigned(tmp_path: Path) -> None:
    records = [
        record
        for request, (key, score) in enumerate([("ada", 0.5), ("bob", 1.0), ("ada", 0.25), (None, 0.0), (None, 1.0)])
        for record in (
            dataclasses.replace(make_prediction(request, at(1)), key=key.encode() if key else None),
            make_outcome(request, at(5), score=score, label={"weight": 5.0}),
        )
    ]
    scores = gather(tmp_path, records, plan=BY_KEY).champion.scores
    sums = zip(scores.counts.tolist(), scores.sums.tolist(), scores.squares.tolist(), strict=True)
    assert sorted(sums) == [(1, 0.0, 0.0), (1, 1.0, 1.0), (1, 1.0, 1.0), (2, 0.75, 0.3125)]
    together = gather(tmp_path / "again", records).champion.scores
    assert (together.counts.tolist(), together.sums.tolist(), together.squares.tolist()) == ([5], [2.75], [2.3125])


def test_what_is_known_of_a_key_from_before_the_step_is_no_difference(tmp_path: Path) -> None:
    """Each key's scores are as before. The canary has the keys with the lower ones."""
    records, request = [], 0
    for key in range(10):
        for minute, version in [
            *((-m, "1") for m in range(1, 9)),
            *((m, "2" if key < 5 else "1") for m in range(1, 9)),
        ]:
            request += 1
            role = "champion" if version == "1" else "canary"
            prediction = make_prediction(request, at(minute), version, role)
            records.append(dataclasses.replace(prediction, key=str(key).encode()))
            score = key / 10 + 0.01 * (request % 2)
            records.append(make_outcome(request, at(20), score=score, label={"weight": 5.0}))
    found = gather(tmp_path, records, plan=BY_KEY)
    assert found.champion.scores.mean - found.candidate.scores.mean == pytest.approx(0, abs=0.01)
    assert found.candidate.scores.count == found.champion.scores.count == 40


def test_a_shadow_is_compared_by_the_labels_of_the_requests_that_both_answered(tmp_path: Path) -> None:
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
    assert gather(tmp_path, records, "shadow").losses == pytest.approx([0.8 - 0.9])


def test_losses_are_in_the_order_of_their_labels(tmp_path: Path) -> None:
    records = [
        record
        for request in (1, 2, 3)
        for record in (
            make_prediction(request, at(request)),
            make_prediction(request, at(request), "2", "shadow", output={"weight": 5.0}),
            make_outcome(request, at(10 - request), score=request / 10, label={"weight": 5.0}),
        )
    ]
    assert gather(tmp_path, records, "shadow").losses == pytest.approx([-0.7, -0.8, -0.9])


def test_a_shadows_non_finite_score_counts_as_0(tmp_path: Path) -> None:
    """As at the gate: NaN would never compare as worse."""
    records = [
        make_prediction(1, at(0)),
        make_prediction(1, at(0), "2", "shadow"),
        make_outcome(1, at(5), score=0.8, label={"weight": 7.0}),
    ]
    assert gather(tmp_path, records, "shadow", ScalesWithNan()).losses == pytest.approx([0.8])


def test_another_shadows_outputs_are_not_scored_as_its_own(tmp_path: Path) -> None:
    records = [
        make_prediction(1, at(0)),
        make_prediction(1, at(0), "3", "shadow", output={"weight": 7.0}),
        make_outcome(1, at(5), score=0.8, label={"weight": 7.0}),
    ]
    losses = gather(tmp_path, records, "shadow").losses
    assert losses is not None and not len(losses)


def test_beside_a_canary_latency_is_the_total(tmp_path: Path) -> None:
    found = gather(
        tmp_path,
        [make_prediction(1, at(0), **timed(8)), make_prediction(2, at(0), "2", "canary", **timed(6))],
    )
    assert (latencies(found.champion), latencies(found.candidate)) == ({8: 1}, {6: 1})


def test_beside_a_shadow_latency_is_that_of_the_model_call(tmp_path: Path) -> None:
    """A shadow starts after the answer."""
    found = gather(
        tmp_path,
        [make_prediction(1, at(0), **timed(8)), make_prediction(1, at(0), "2", "shadow", **timed(6))],
        "shadow",
    )
    assert (latencies(found.champion), latencies(found.candidate)) == ({4: 1}, {3: 1})


def test_all_predictions_since_the_start_are_measured(tmp_path: Path) -> None:
    times = [1.234, 1.2341, 7.5, 400.0]
    records = [make_prediction(request, at(request), **timed(ms)) for request, ms in enumerate(times)]
    assert latencies(gather(tmp_path, records).champion) == {1.23: 2, 7.5: 1, 400.0: 1}


def test_looks_become_rarer_as_a_step_becomes_longer() -> None:
    """Each look reads the whole step."""
    assert evidence.is_due(None, at(0), at(0))
    assert evidence.is_due(at(-1), at(0), at(0)), "a look at the step before"
    assert not evidence.is_due(at(1000), at(0), at(1009))
    assert evidence.is_due(at(1000), at(0), at(1011))


def test_the_range_of_scores_is_the_tasks_and_that_of_rewards_where_there_are_any(tmp_path: Path) -> None:
    class Wide(Scales):
        score_range = (-3.0, 1.0)

    labelled = [make_prediction(1, at(0), "2", "canary"), make_outcome(1, at(5), "audit", score=0.5)]
    rewarded = [*labelled, make_prediction(2, at(0)), make_outcome(2, at(5), "all", reward=0.5)]
    assert gather(tmp_path / "a", labelled, task=Wide()).score_range == (-3.0, 1.0)
    assert gather(tmp_path / "b", rewarded, task=Wide()).score_range == (-1.0, 1.0)
    assert gather(tmp_path / "c", rewarded, "shadow", Wide()).score_range == (-3.0, 1.0), "a shadow gets no reward"
