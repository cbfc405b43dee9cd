"""The published table of the Open Bandit data: how far off-policy estimates are from what was earned.

Bernoulli Thompson sampling is valued by the log of the random policy, campaign `all`, in 30 bootstrap samples. The mean
relative errors are those of obp 0.5.7, `examples/obd`.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from models import off_policy
from models.decision.data.open_bandit import installed_package, read_log

SAMPLES = 30
PUBLISHED = {"ips": 0.311082, "snips": 0.311795}
CHOICES = np.array(json.loads(Path(__file__).with_name("bts_choices.json").read_text()))
"""Made by `make_bts_choices`: counts in a million, (items, positions)."""


def test_estimates_have_the_published_errors() -> None:
    package = installed_package()
    earned = np.mean([float(row["click"]) for row in read_log(package, "all", "bts")])
    log = read_log(package, "all", "random")
    items, positions = (np.array([int(row[name]) for row in log]) for name in ("item_id", "position"))
    probabilities = CHOICES[items, positions - 1] / CHOICES.sum(axis=0)[positions - 1]
    weights = probabilities / np.array([float(row["propensity_score"]) for row in log])
    clicks = np.array([float(row["click"]) for row in log])
    errors = []
    for seed in range(SAMPLES):
        rows = np.random.RandomState(seed).choice(len(log), size=len(log))
        estimates = (estimate(clicks[rows], weights[rows]) for estimate in (off_policy.ips, off_policy.snips))
        errors.append([abs(estimate.value - earned) / earned for estimate in estimates])
    ips, snips = np.mean(errors, axis=0)
    assert {"ips": ips, "snips": snips} == pytest.approx(PUBLISHED, abs=1e-6)
