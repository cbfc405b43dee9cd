"""The expected score of a champion's last window, from a catalog of predictions and outcomes."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from app.events.cloudevents import Record
from app.monitoring.performance_estimation import PerformanceEstimate
from app.registry.registry import Registry, TaskModels
from app.retraining.triggers.expected_quality import LEARNING_WINDOWS, ExpectedQualityEstimator
from app.retraining.triggers.observation import WindowValue
from app.settings.retraining import RetrainingSettings
from tests.support.catalog_fixtures import TASK, make_outcome, make_prediction, open_catalog
from tests.support.record_strategies import START
from tests.support.scales import Scales

PLAN = RetrainingSettings(window_minutes=60, feedback_wait_minutes=120)
EACH = 60
"""Predictions in each hour."""


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def build_models() -> TaskModels:
    return Registry([Scales()]).tasks[TASK]


def hourly_records(*confidences: float, labelled: int) -> Iterator[Record]:
    """Yield hours of calibrated predictions with confidence 0.5 or this; so many of them are labelled."""
    random, number = np.random.default_rng(0), 0
    for hour, mean in enumerate(confidences):
        for minute in range(EACH):
            confidence = mean if minute % 2 else 0.5
            yield make_prediction(number, at(hour + minute / EACH), confidence=confidence)
            if hour < labelled:
                score = float(random.random() < confidence)
                more = {"confidence": confidence, "selection_probability": 1.0, "score": score}
                yield make_outcome(number, at(hour + minute / EACH), "all", **more)
            number += 1


def estimate(directory: Path, records: Iterator[Record], hour: float) -> WindowValue[PerformanceEstimate] | None:
    with open_catalog(directory, list(records)) as catalog:
        return catalog.query(
            lambda connection: ExpectedQualityEstimator().estimate(connection, build_models(), PLAN, at(hour))
        )


def test_no_labels_give_no_estimate(tmp_path: Path) -> None:
    assert estimate(tmp_path, hourly_records(0.9, 0.9, labelled=0), 2.5) is None


def test_the_expected_score_of_an_unlabelled_window_follows_the_confidence(tmp_path: Path) -> None:
    found = estimate(
        tmp_path, hourly_records(*[0.9] * LEARNING_WINDOWS, 0.9, 0.5, labelled=LEARNING_WINDOWS), LEARNING_WINDOWS + 2.5
    )
    assert found is not None
    assert (found.start, found.end) == (at(LEARNING_WINDOWS + 1), at(LEARNING_WINDOWS + 2))
    assert found.value.labelled == LEARNING_WINDOWS * EACH
    assert found.value.lower <= found.value.score <= found.value.upper
    assert found.value.score == pytest.approx(0.5, abs=0.12)
    assert found.value.score < 0.65


def test_past_estimates_are_compared_with_labels(tmp_path: Path) -> None:
    count = 8
    found = estimate(tmp_path, hourly_records(*[0.9] * count, labelled=count), count + 0.5)
    assert found is not None
    # Labels of the last two are late, and the first two have nothing before them whose labels are there.
    assert found.value.windows == count - 2 - 2
    assert found.value.error is not None
    assert 0 < found.value.error < 0.15


@pytest.mark.parametrize(("answered", "estimated"), [(True, True), (False, False), (None, True)])
def test_labels_of_an_audit_that_only_volunteers_answered_give_no_estimate(
    tmp_path: Path, answered: bool | None, estimated: bool
) -> None:
    records = list(hourly_records(*[0.9] * LEARNING_WINDOWS, 0.9, 0.5, labelled=0))
    for number in range(LEARNING_WINDOWS * EACH):
        more = {"confidence": 0.9, "selection_probability": 1.0, "score": 1.0, "audit_answered": answered}
        records.append(make_outcome(number, at(number / EACH), "audit", **more))
    assert (estimate(tmp_path, iter(records), LEARNING_WINDOWS + 2.5) is not None) == estimated


def test_the_confidence_of_a_remembered_correction_is_not_the_models(tmp_path: Path) -> None:
    records = list(hourly_records(*[0.9] * LEARNING_WINDOWS, 0.9, labelled=LEARNING_WINDOWS))
    memory = {"corrected": "p", "outcome": "o", "output": {}, "confidence": 0.5, "propensity": 1.0}
    first = (LEARNING_WINDOWS + 1) * EACH
    for number in range(first, first + EACH):
        records.append(make_prediction(number, at(number / EACH), confidence=0.99, memory=memory))
    found = estimate(tmp_path, iter(records), LEARNING_WINDOWS + 2.5)
    assert found is not None
    assert found.value.score < 0.65
