"""Writes `obp.json`: a small log, and what obp's estimators say of a policy on it. In an environment of its own:

python3.10 -m venv obp && obp/bin/pip install "torch==1.12.*" "numpy==1.23.*" "pandas<2.1" obp==0.5.7
obp/bin/python tests/models/make_obp.py
"""

import json
from pathlib import Path

import numpy as np
from obp.ope import (
    DirectMethod,
    DoublyRobust,
    InverseProbabilityWeighting,
    SelfNormalizedInverseProbabilityWeighting,
    SwitchDoublyRobust,
)

ROUNDS, ACTIONS, THRESHOLD = 120, 4, 2.5


def main() -> None:
    """All numbers are rounded before obp sees them, so that the file has exactly what it saw."""
    rng = np.random.default_rng(20)
    logging = rng.dirichlet(np.ones(ACTIONS), ROUNDS).round(4) * 0.8 + 0.05
    logging /= logging.sum(axis=1, keepdims=True)
    policy = rng.dirichlet(np.full(ACTIONS, 0.5), ROUNDS)
    chances, model = rng.random((ROUNDS, ACTIONS)), rng.random((ROUNDS, ACTIONS)).round(4)
    actions = np.array([rng.choice(ACTIONS, p=row) for row in logging])
    rows = np.arange(ROUNDS)
    rewards = (rng.random(ROUNDS) < chances[rows, actions]).astype(float)
    propensities = logging[rows, actions].round(4)
    arguments = {
        "reward": rewards,
        "action": actions,
        "pscore": propensities,
        "action_dist": policy[:, :, None],
        "position": np.zeros(ROUNDS, int),
        "estimated_rewards_by_reg_model": model[:, :, None],
    }
    estimators = [
        InverseProbabilityWeighting(),
        SelfNormalizedInverseProbabilityWeighting(),
        DirectMethod(),
        DoublyRobust(),
        SwitchDoublyRobust(lambda_=THRESHOLD),
    ]
    found = {
        "threshold": THRESHOLD,
        "actions": actions.tolist(),
        "rewards": rewards.tolist(),
        "propensities": propensities.tolist(),
        "policy": policy.tolist(),
        "model": model.tolist(),
        "values": {one.estimator_name: float(one.estimate_policy_value(**arguments)) for one in estimators},
    }
    Path(__file__).with_name("obp.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
