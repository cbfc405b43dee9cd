"""`python -m models.decision.data.write_samples`: write the files in `samples/`, always the same."""

import json

import numpy as np

from models.decision.data.simulator import SAMPLES, visit

SEED, COUNT = 4, 6


def main() -> None:
    """Write the files."""
    SAMPLES.mkdir(exist_ok=True)
    rng = np.random.default_rng(SEED)
    for number in range(COUNT):
        (SAMPLES / f"offers-{number:02d}.json").write_text(json.dumps(visit(rng), indent=2) + "\n")


if __name__ == "__main__":
    main()
