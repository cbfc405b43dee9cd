"""Compare decisions learned from rewards alone with peers, round by round: `python -m benchmarks.studies.decisions`.

1. A classification set becomes decisions: an example's features are the context, the classes are the actions, and the
   reward is 1 for the right class and 0 for the others. In each of five rounds a frozen policy serves 500 examples, its
   choices and rewards are logged, and the next policy learns from the whole log. All learners get the same examples,
   and the rewards of their own choices only. Hindsight's goes the whole way: requests, features, ONNX Runtime,
   `Decision.decode`, rows of a dataset, and its trainer.
2. With `--open-bandit`, impressions of a shop: see `open_bandit`. The policy is valued on decisions that it did not
   learn from.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.report import TableSection
from benchmarks.studies.decision_learner import HindsightLearner
from benchmarks.studies.decision_peers import (
    EPSILON,
    DecisionLog,
    EpsilonGreedyLogistic,
    Learner,
    LinUcb,
    Uniform,
    VowpalWabbit,
)
from benchmarks.studies.open_bandit import CAMPAIGNS, PolicyValue, value_open_bandit, values_section
from benchmarks.studies.summary import RESULTS, markdown, mean_and_half_width

DATASETS: dict[str, Callable[..., Any]] = {
    "digits": load_digits,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
}
ROUNDS = 5
FILE_WIDTH = 150
EXAMPLES_PER_ROUND = 500
"""Drawn with replacement from the training part (70 %) of a set."""

Regrets = tuple[list[float], list[float]]
"""The regret of each round as served, and that of the best choices on the test part after the round."""

LEARNERS: dict[str, Callable[[int, int, int, Path], Learner]] = {
    "hindsight": HindsightLearner,
    "vowpal wabbit, epsilon-greedy": lambda actions, _, seed, __: VowpalWabbit(actions, seed, f"--epsilon {EPSILON}"),
    "vowpal wabbit, squarecb": lambda actions, _, seed, __: VowpalWabbit(actions, seed, "--squarecb"),
    "epsilon-greedy logistic": lambda actions, _, seed, __: EpsilonGreedyLogistic(actions, seed),
    "linucb": lambda actions, _, seed, __: LinUcb(actions, seed),
    "uniform": lambda actions, _, seed, __: Uniform(actions, seed),
}


def play_rounds(set_name: str, learner: str, seed: int) -> Regrets:
    """Let a learner serve and learn all rounds of a set."""
    contexts, classes = DATASETS[set_name](return_X_y=True)
    train, test, train_classes, test_classes = train_test_split(
        contexts, classes, test_size=0.3, random_state=seed, stratify=classes
    )
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    rng = np.random.default_rng((seed, 1))
    served, greedy = [], []
    with tempfile.TemporaryDirectory() as directory:
        policy = LEARNERS[learner](int(classes.max()) + 1, contexts.shape[1], seed, Path(directory))
        log = DecisionLog()
        for _ in range(ROUNDS):
            rows = rng.integers(len(train), size=EXAMPLES_PER_ROUND)
            choices, propensities = policy.serve(train[rows])
            rewards = (choices == train_classes[rows]).astype(np.float64)
            log.add(train[rows], choices, propensities, rewards)
            served.append(1 - float(rewards.mean()))
            policy.learn(log)
            greedy.append(1 - float((policy.best(test) == test_classes).mean()))
    return served, greedy


@dataclass(frozen=True)
class Curve:
    """The regrets of a learner on a set: means over seeds, each with half the width of its 95 % interval."""

    set: str
    learner: str
    served: list[tuple[float, float]]
    after: list[tuple[float, float]]
    total: tuple[float, float]
    """The sum of the served regrets of all rounds."""


def summarize_rounds(set_name: str, learner: str, games: Sequence[Regrets]) -> Curve:
    """Return the means over the games of all seeds."""
    served, greedy = (np.array(regrets) for regrets in zip(*games, strict=True))
    return Curve(
        set_name,
        learner,
        list(map(mean_and_half_width, served.T)),
        list(map(mean_and_half_width, greedy.T)),
        mean_and_half_width(served.sum(axis=1)),
    )


def curve_section(curves: Sequence[Curve], set_name: str) -> TableSection:
    """Return the curves of one set as a table."""
    rounds = [f"round {number}" for number in range(1, ROUNDS + 1)]
    rows = [
        (curve.learner, *(f"{mean:.3f} ± {half:.3f}" for mean, half in (*curve.served, curve.total, curve.after[-1])))
        for curve in curves
        if curve.set == set_name
    ]
    note = "Share of examples that were served a wrong action (last column: on the test part), with 95 % intervals."
    return TableSection(f"Regret, {set_name}", ("learner", *rounds, "sum", "greedy after all"), rows, [note])


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.studies.decisions", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="games of each learner on each set")
    parser.add_argument(
        "--sets", nargs="*", choices=DATASETS, default=list(DATASETS), metavar="SET", help=", ".join(DATASETS)
    )
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS), metavar="LEARNER")
    parser.add_argument("--open-bandit", action="store_true", help="value policies on the Open Bandit data, too")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIRECTORY")
    return parser.parse_args()


def run_study(options: argparse.Namespace) -> tuple[list[Curve], list[PolicyValue]]:
    """Play all games, and value the policies of all campaigns, if that is asked for."""
    games = [
        (name, learner, seed) for name in options.sets for learner in options.learners for seed in range(options.seeds)
    ]
    campaigns = CAMPAIGNS if options.open_bandit else ()
    regrets: dict[tuple[str, str], list[Regrets]] = {}
    values: list[PolicyValue] = []
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(games) + len(campaigns))
        for name, learner, seed in games:
            progress.update(bar, description=f"{name}: {learner}")
            regrets.setdefault((name, learner), []).append(play_rounds(name, learner, seed))
            progress.advance(bar)
        for campaign in campaigns:
            progress.update(bar, description=f"Open Bandit data: {campaign}")
            values += value_open_bandit(campaign, seed=0)
            progress.advance(bar)
    return [summarize_rounds(name, learner, played) for (name, learner), played in regrets.items()], values


def main() -> None:
    """Run the study, print its tables and save them with every figure."""
    options = parse_options()
    curves, values = run_study(options)
    sections = [curve_section(curves, name) for name in options.sets] + ([values_section(values)] if values else [])
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    for section in sections:
        table = Table(*section.columns, title=section.title, caption="\n".join(section.notes))
        for cells in section.rows:
            table.add_row(*cells)
        console.print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"decisions-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    path.with_suffix(".md").write_text("\n".join(map(markdown, sections)))
    document = {"seeds": options.seeds, "curves": list(map(asdict, curves)), "values": list(map(asdict, values))}
    path.with_suffix(".json").write_text(json.dumps(document, indent=2) + "\n")
    console.print(f"Saved: {path}.md and .json", soft_wrap=True)


if __name__ == "__main__":
    main()
