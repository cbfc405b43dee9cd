"""Writes `bts_choices.json`: how often Thompson sampling shows each item of the campaign `all` in each position.

As the package obp simulates it: a million draws of each item's beta distribution, with the priors of the shop's system
and the seed 12345; the three greatest are shown. It takes 15 seconds:

    python -m tests.models.decision.data.make_bts_choices
"""

import json
from pathlib import Path

import numpy as np
import yaml

from models.decision.data.open_bandit import installed_package

DRAWS, CHUNK, POSITIONS = 1_000_000, 10_000, 3


def main() -> None:
    prior = yaml.safe_load((installed_package() / "policy/conf/prior_bts.yaml").read_text())["all"]
    alpha, beta = np.array(prior["alpha"]), np.array(prior["beta"])
    rng, counts = np.random.RandomState(12345), np.zeros((len(alpha), POSITIONS), int)
    for _ in range(DRAWS // CHUNK):
        best = np.argsort(rng.beta(alpha, beta, size=(CHUNK, len(alpha))), axis=1)[:, ::-1]
        for position in range(POSITIONS):
            counts[:, position] += np.bincount(best[:, position], minlength=len(alpha))
    Path(__file__).with_name("bts_choices.json").write_text(json.dumps(counts.tolist()) + "\n")


if __name__ == "__main__":
    main()
