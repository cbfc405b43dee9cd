"""Calibration: known cases."""

import numpy as np
import pytest

from models.nn.calibration import best_temperature, expected_calibration_error, log_loss


def test_confidence_that_comes_true_as_often_as_it_says_has_no_calibration_error() -> None:
    confidences = np.full(10, 0.7)
    right = np.array([True] * 7 + [False] * 3)
    assert expected_calibration_error(confidences, right) == pytest.approx(0.0)


def test_certainty_that_is_always_wrong_has_the_largest_calibration_error() -> None:
    assert expected_calibration_error(np.ones(5), np.zeros(5, bool)) == pytest.approx(1.0)


def test_calibration_error_weighs_bins_by_their_size() -> None:
    confidences = np.array([0.95] * 9 + [0.15])
    right = np.array([True] * 9 + [True])
    assert expected_calibration_error(confidences, right) == pytest.approx(0.9 * 0.05 + 0.1 * 0.85)


def test_log_loss_is_least_for_the_true_rate() -> None:
    right = np.array([True] * 8 + [False] * 2)
    losses = [log_loss(np.full(10, rate), right) for rate in (0.6, 0.8, 0.95)]
    assert min(losses) == losses[1]
    assert log_loss(np.array([1.0, 0.0]), np.array([False, True])) < np.inf


def test_the_search_finds_the_least_temperature() -> None:
    assert best_temperature(lambda value: (np.log(value) - np.log(1.7)) ** 2) == pytest.approx(1.7, rel=1e-2)
