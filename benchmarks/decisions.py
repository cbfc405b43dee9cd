"""`python -m benchmarks.decisions`: whether decisions get better from rewards alone, round by round, against peers.

1. Classification made into decisions: an example's features are the context, its classes the actions; the reward is 1
   for the right class and 0 for the others. Five rounds: a frozen policy serves 500 examples, what it chose and earned
   is logged, and the next policy learns from all logs. Every learner gets the same examples, and its own rewards only.
   Ours goes the whole way: requests, features, ONNX Runtime, `Decision.decode`, rows of a dataset, training.
2. With `--open-bandit FILE`, the data of a shop: see `models.decision.data.open_bandit`. What is learnt is valued on
   decisions that it was not learnt from.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from scipy.stats import t
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from app.eventlog import dataset
from app.inference.predict import stacked
from benchmarks.report import Section
from models import off_policy, tensors
from models.base import Asked, Decoded, Features
from models.decision import Decision
from models.decision.data import open_bandit as open_bandit_data
from models.decision.request import ids_of
from models.training import train

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
SETS: dict[str, Callable[..., Any]] = {"digits": load_digits, "wine": load_wine, "breast cancer": load_breast_cancer}
ROUNDS = 5
FILE_WIDTH = 150
EXAMPLES = 500
"""In each round, drawn with replacement from the training part (70 %) of a set."""
BATCH = 128
RESULTS = Path(__file__).parent / "results"
EPSILON = 0.1


@dataclass
class Log:
    """What one learner has been told so far: contexts (N, c), choices (N,), their propensities, and rewards."""

    contexts: list[Floats] = field(default_factory=list)
    chosen: list[Places] = field(default_factory=list)
    propensities: list[Floats] = field(default_factory=list)
    rewards: list[Floats] = field(default_factory=list)

    def add(self, contexts: Floats, chosen: Places, propensities: Floats, rewards: Floats) -> None:
        """One more round."""
        self.contexts.append(contexts)
        self.chosen.append(chosen)
        self.propensities.append(propensities)
        self.rewards.append(rewards)


class Learner(Protocol):
    """A policy that serves a round, and learns from the logs of all rounds so far."""

    def serve(self, contexts: Floats) -> tuple[Places, Floats]:
        """A choice for each context, and its propensity."""
        ...

    def best(self, contexts: Floats) -> Places:
        """What it holds to be best, without exploration."""
        ...

    def learn(self, log: Log) -> None:
        """Take in what is new in the log."""
        ...


class Uniform:
    """Chooses at random, always."""

    def __init__(self, actions: int, seed: int) -> None:
        self._actions, self._rng = actions, np.random.default_rng(seed)

    def serve(self, contexts: Floats) -> tuple[Places, Floats]:
        return self._rng.integers(self._actions, size=len(contexts)), np.full(len(contexts), 1 / self._actions)

    def best(self, contexts: Floats) -> Places:
        return self.serve(contexts)[0]

    def learn(self, log: Log) -> None:
        pass


class EpsilonGreedyLogistic(Uniform):
    """A logistic regression of the reward for each action, of scikit-learn; explores with epsilon 0.1."""

    def __init__(self, actions: int, seed: int) -> None:
        super().__init__(actions, seed)
        self._models: list[LogisticRegression | float] = []

    def serve(self, contexts: Floats) -> tuple[Places, Floats]:
        random, propensities = super().serve(contexts)
        if not self._models:
            return random, propensities
        best = self.best(contexts)
        chosen = np.where(self._rng.random(len(contexts)) < EPSILON, random, best)
        return chosen, np.where(chosen == best, 1 - EPSILON, 0) + EPSILON / self._actions

    def best(self, contexts: Floats) -> Places:
        expected = [
            np.full(len(contexts), model) if isinstance(model, float) else model.predict_proba(contexts)[:, 1]
            for model in self._models
        ]
        found: Places = np.argmax(expected, axis=0)
        return found

    def learn(self, log: Log) -> None:
        contexts, chosen, rewards = (np.concatenate(part) for part in (log.contexts, log.chosen, log.rewards))
        self._models = []
        for action in range(self._actions):
            seen = rewards[chosen == action]
            if len(set(seen)) < 2:
                self._models.append(float(seen.mean()) if len(seen) else 0.5)
            else:
                self._models.append(LogisticRegression(max_iter=1000).fit(contexts[chosen == action], seen))


class LinUcb(Uniform):
    """LinUCB of MABWiser; its choice is no matter of chance."""

    def __init__(self, actions: int, seed: int) -> None:
        from mabwiser.mab import MAB, LearningPolicy  # type: ignore[import-untyped]

        super().__init__(actions, seed)
        self._mab = MAB(list(range(actions)), LearningPolicy.LinUCB(alpha=0.5), seed=seed)
        self._greedy = MAB(list(range(actions)), LearningPolicy.LinUCB(alpha=0.0), seed=seed)
        self._learnt = 0

    def serve(self, contexts: Floats) -> tuple[Places, Floats]:
        if not self._learnt:
            return super().serve(contexts)
        return np.array(self._mab.predict(contexts)), np.ones(len(contexts))

    def best(self, contexts: Floats) -> Places:
        return np.array(self._greedy.predict(contexts))

    def learn(self, log: Log) -> None:
        for mab in (self._mab, self._greedy):
            take = mab.partial_fit if self._learnt else mab.fit
            take(log.chosen[-1], log.rewards[-1], log.contexts[-1])
        self._learnt += 1


class VowpalWabbit(Uniform):
    """`cb_explore_adf` of Vowpal Wabbit, with features of context and action crossed, several passes."""

    passes = 4

    def __init__(self, actions: int, seed: int, exploration: str) -> None:
        from vowpalwabbit import Workspace  # type: ignore[import-untyped]

        super().__init__(actions, seed)
        self._workspace = Workspace(
            f"--cb_explore_adf {exploration} --cb_type mtr -q CA --random_seed {seed} --quiet", enable_logging=False
        )
        self._learnt = 0

    def serve(self, contexts: Floats) -> tuple[Places, Floats]:
        probabilities = self._probabilities(contexts)
        chosen = np.array([self._rng.choice(self._actions, p=row) for row in probabilities])
        return chosen, probabilities[np.arange(len(chosen)), chosen]

    def best(self, contexts: Floats) -> Places:
        found: Places = np.argmax(self._probabilities(contexts), axis=1)
        return found

    def _probabilities(self, contexts: Floats) -> Floats:
        rows = []
        for context in contexts:
            given = np.array(self._workspace.predict(self._example(context)), np.float64)
            rows.append(given / given.sum())
        return np.array(rows)

    def learn(self, log: Log) -> None:
        parts = zip(log.contexts[-1], log.chosen[-1], log.rewards[-1], log.propensities[-1], strict=True)
        examples = [self._example(context, (int(a), float(r), float(p))) for context, a, r, p in parts]
        for _ in range(self.passes):
            for place in self._rng.permutation(len(examples)):
                self._workspace.learn(examples[place])

    def _example(self, context: Floats, told: tuple[int, float, float] | None = None) -> str:
        shared = " ".join(f"{place}:{value:.5f}" for place, value in enumerate(context))
        lines = [f"shared |C constant:1 {shared}"]
        for action in range(self._actions):
            label = f"0:{-told[1]:.3f}:{told[2]:.6f} " if told and told[0] == action else ""
            lines.append(f"{label}|A a{action}")
        return "\n".join(lines)


class Hindsight:
    """Our own task, from the request in JSON to the model trained from the dataset."""

    def __init__(self, actions: int, columns: int, seed: int, directory: Path) -> None:
        self._names = [f"class-{action}" for action in range(actions)]
        schema = {"context": {f"x{place}": "numeric" for place in range(columns)}, "actions": {"class": self._names}}
        (directory / "schema.json").write_text(json.dumps(schema))
        self._task = Decision(schema=str(directory / "schema.json"))
        self._seed, self._directory = seed, directory
        self._session: Any = None
        self._rows: list[dict[str, Any]] = []
        self._asked: list[tuple[Asked, Decoded]] = []
        self._count = 0

    def _features(self, context: Floats) -> Features:
        given = {f"x{place}": float(value) for place, value in enumerate(context)}
        request = {"context": given, "actions": [{"id": name, "class": name} for name in self._names]}
        return self._task.preprocess(json.dumps(request).encode())

    def _decoded(self, contexts: Floats) -> list[tuple[Asked, Decoded]]:
        asked = []
        for context in contexts:
            asked.append(Asked(f"decision:{self._seed}-{self._count}", self._features(context)))
            self._count += 1
        made: list[tuple[Asked, Decoded]] = []
        for start in range(0, len(asked), BATCH):
            some = asked[start : start + BATCH]
            made += zip(some, self._task.decode(self._outputs(some), some), strict=True)
        return made

    def _outputs(self, asked: Sequence[Asked]) -> dict[str, NDArray[Any]]:
        batch = stacked(self._task, [one.features for one in asked])
        if self._session is None:  # before the first version: nothing is known, all actions are alike
            zeros = np.zeros(batch["actions"].shape[:2], np.float32)
            return {"logits": zeros, "rewards": zeros}
        return dict(zip(("logits", "rewards"), self._session.run(["logits", "rewards"], batch), strict=True))

    def serve(self, contexts: Floats) -> tuple[Places, Floats]:
        self._asked = self._decoded(contexts)
        chosen = [self._names.index(decoded.output["action"]) for _, decoded in self._asked]
        return np.array(chosen), np.array([decoded.propensity for _, decoded in self._asked])

    def best(self, contexts: Floats) -> Places:
        made = [list(decoded.output["probabilities"].values()) for _, decoded in self._decoded(contexts)]
        found: Places = np.argmax(made, axis=1)
        return found

    def learn(self, log: Log) -> None:
        for (asked, decoded), reward in zip(self._asked, log.rewards[-1], strict=True):
            self._rows.append(row(asked, decoded, float(reward), len(self._rows)))
        out = self._directory / f"dataset-{len(log.rewards)}"
        write(self._rows, out)
        trained = train(self._task, out, None, self._seed, lambda doing, step, steps: None)
        self._session = onnxruntime.InferenceSession(trained.model, providers=["CPUExecutionProvider"])


def row(asked: Asked, decoded: Decoded, reward: float, number: int) -> dict[str, Any]:
    """A row of a dataset as `hindsight replay` makes it; each tenth is for validation."""
    data, declaration = tensors.encode(asked.features)
    said = {"features": data, "tensors": declaration, "output": json.dumps(decoded.output), "reward": reward}
    split = "validation" if number % 10 == 9 else "train"
    return {"prediction_id": asked.prediction_id, "propensity": decoded.propensity, "split": split, **said}


def write(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """A dataset of these rows."""
    out.mkdir()
    with dataset.Writer(out / dataset.ROWS) as writer:
        writer.write(pa.RecordBatch.from_pylist(list(rows), dataset.SCHEMA))


LEARNERS: dict[str, Callable[[int, int, int, Path], Learner]] = {
    "hindsight": Hindsight,
    "vowpal wabbit, epsilon-greedy": lambda actions, _, seed, __: VowpalWabbit(actions, seed, f"--epsilon {EPSILON}"),
    "vowpal wabbit, squarecb": lambda actions, _, seed, __: VowpalWabbit(actions, seed, "--squarecb"),
    "epsilon-greedy logistic": lambda actions, _, seed, __: EpsilonGreedyLogistic(actions, seed),
    "linucb": lambda actions, _, seed, __: LinUcb(actions, seed),
    "uniform": lambda actions, _, seed, __: Uniform(actions, seed),
}


def played(name: str, learner: str, seed: int) -> tuple[list[float], list[float]]:
    """The regret of each round as served, and of the best choice on the test part after each round's learning."""
    contexts, classes = SETS[name](return_X_y=True)
    split = train_test_split(contexts, classes, test_size=0.3, random_state=seed, stratify=classes)
    scaler = StandardScaler().fit(split[0])
    train, test = scaler.transform(split[0]), scaler.transform(split[1])
    rng = np.random.default_rng((seed, 1))
    served, after = [], []
    with tempfile.TemporaryDirectory() as directory:
        policy = LEARNERS[learner](int(classes.max()) + 1, contexts.shape[1], seed, Path(directory))
        log = Log()
        for _ in range(ROUNDS):
            rows = rng.integers(len(train), size=EXAMPLES)
            chosen, propensities = policy.serve(train[rows])
            rewards = (chosen == split[2][rows]).astype(np.float64)
            log.add(train[rows], chosen, propensities, rewards)
            served.append(1 - float(rewards.mean()))
            policy.learn(log)
            after.append(1 - float((policy.best(test) == split[3]).mean()))
    return served, after


@dataclass(frozen=True)
class Curve:
    """A learner on a set: the mean of each round over seeds, with the half width of its 95 % interval (Student's t)."""

    set: str
    learner: str
    served: list[tuple[float, float]]
    after: list[tuple[float, float]]
    total: tuple[float, float]
    """Of the served regrets of all rounds together."""


def curve(name: str, learner: str, games: Sequence[tuple[list[float], list[float]]]) -> Curve:
    """Over seeds."""
    served, after = (np.array(part) for part in zip(*games, strict=True))
    return Curve(name, learner, list(map(spread, served.T)), list(map(spread, after.T)), spread(served.sum(axis=1)))


def spread(values: Floats) -> tuple[float, float]:
    """The mean, and the half width of its interval."""
    count = len(values)
    reach = float(t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count)) if count > 1 else math.inf
    return float(values.mean()), reach


@dataclass(frozen=True)
class Value:
    """Clicks in 1,000 of a policy on a campaign of the Open Bandit data: by an estimator, with its 95 % interval."""

    campaign: str
    policy: str
    estimator: str
    value: float
    low: float
    high: float


FOLDS = 2
CAMPAIGNS: tuple[open_bandit_data.Campaign, ...] = ("all", "men", "women")


def open_bandit(archive: Path, campaign: open_bandit_data.Campaign, seed: int) -> list[Value]:
    """What is learnt from the random policy's log, valued on decisions it was not learnt from: folds in turn."""
    logs = {policy: open_bandit_data.load(archive, campaign, policy) for policy in ("random", "bts")}
    found = []
    for policy, log in logs.items():
        clicks = np.array([float(one.clicked) for one in log.rounds])
        found.append((f"{policy}, as logged", "mean", off_policy.on_policy(clicks)))
    rounds = logs["random"].rounds
    with tempfile.TemporaryDirectory() as directory:
        schema = Path(directory) / "schema.json"
        schema.write_text(json.dumps(logs["random"].schema))
        task = Decision(schema=str(schema))
        asked = [Asked(f"decision:{n}", task.preprocess(open_bandit_data.dumps(r))) for n, r in enumerate(rounds)]
        places = [ids_of(one.features).index(shown.shown) for one, shown in zip(asked, rounds, strict=True)]
        columns = np.zeros((len(rounds), 3))
        for fold in range(FOLDS):
            rest = [number for number in range(len(rounds)) if number % FOLDS != fold]
            rows = [_impression_row(asked[number], rounds[number], number // FOLDS) for number in rest]
            write(rows, Path(directory) / f"fold-{fold}")
            trained = train(task, Path(directory) / f"fold-{fold}", None, seed, lambda doing, step, steps: None)
            held_out = np.arange(fold, len(rounds), FOLDS)
            columns[held_out] = _seen(task, trained.model, [asked[n] for n in held_out], [places[n] for n in held_out])
    rewards, propensities = (np.array(v) for v in zip(*((float(r.clicked), r.propensity) for r in rounds), strict=True))
    probabilities, predicted, values = columns.T
    weights = probabilities / propensities
    found.append(("learnt from random", "SNIPS", off_policy.snips(rewards, weights)))
    robust = off_policy.doubly_robust(rewards, weights, predicted, values)
    found.append(("learnt from random", "doubly robust", robust))
    found.append(("learnt less random", "doubly robust", robust.minus(off_policy.on_policy(rewards))))
    return [
        Value(campaign, policy, how, *(1000 * number for number in (one.value, *one.interval())))
        for policy, how, one in found
    ]


def _impression_row(asked: Asked, shown: open_bandit_data.Impression, number: int) -> dict[str, Any]:
    decoded = Decoded({"action": shown.shown}, 0.0, shown.propensity)
    return row(asked, decoded, float(shown.clicked), number)


def _seen(task: Decision, model: bytes, asked: Sequence[Asked], places: Sequence[int]) -> Floats:
    """Of each decision: the policy's probability and the predicted reward of what was shown, and the policy's value."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    seen = []
    for start in range(0, len(asked), BATCH):
        some = asked[start : start + BATCH]
        feeds = stacked(task, [one.features for one in some])
        outputs = dict(zip(("logits", "rewards"), session.run(["logits", "rewards"], feeds), strict=True))
        for decoded, rewards, place in zip(
            task.decode(outputs, some), outputs["rewards"], places[start:], strict=False
        ):
            policy = np.array(list(decoded.output["probabilities"].values()))
            seen.append((policy[place], rewards[place], float(policy @ rewards[: len(policy)])))
    return np.array(seen)


def section(curves: Sequence[Curve], name: str) -> Section:
    """The curves of one set as a table."""
    rounds = [f"round {number}" for number in range(1, ROUNDS + 1)]
    rows = [
        (one.learner, *(f"{mean:.3f} ± {reach:.3f}" for mean, reach in (*one.served, one.total, one.after[-1])))
        for one in curves
        if one.set == name
    ]
    note = "Share of examples for which a wrong action was served (the last column: on the test part); 95 % intervals."
    return Section(f"Regret, {name}", ("", *rounds, "sum", "greedy, at last"), rows, [note])


def values_section(values: Sequence[Value]) -> Section:
    """Clicks as a table."""
    columns = ("", "policy", "by", "clicks", "95 % interval")
    rows = [(v.campaign, v.policy, v.estimator, f"{v.value:.2f}", f"{v.low:.2f} to {v.high:.2f}") for v in values]
    return Section("Open Bandit data: clicks in 1,000 impressions", columns, rows)


def markdown(one: Section) -> str:
    """A table in Markdown."""
    lines = [one.columns, ["---"] * len(one.columns), *one.rows]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join([f"## {one.title}", table, *one.notes]) + "\n"


def main() -> None:
    """Play, show, save."""
    parser = argparse.ArgumentParser("python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="games of each learner on each set")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=list(LEARNERS), metavar="LEARNER")
    parser.add_argument("--open-bandit", type=Path, metavar="FILE", help="obp-0.5.7.tar.gz")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIRECTORY")
    given = parser.parse_args()
    games = [(name, learner, seed) for name in given.sets for learner in given.learners for seed in range(given.seeds)]
    campaigns = CAMPAIGNS if given.open_bandit else ()
    results: dict[tuple[str, str], list[tuple[list[float], list[float]]]] = {}
    values: list[Value] = []
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(games) + len(campaigns))
        for name, learner, seed in games:
            progress.update(bar, description=f"{name}: {learner}")
            results.setdefault((name, learner), []).append(played(name, learner, seed))
            progress.advance(bar)
        for campaign in campaigns:
            progress.update(bar, description=f"Open Bandit data: {campaign}")
            values += open_bandit(given.open_bandit, campaign, seed=0)
            progress.advance(bar)
    curves = [curve(name, learner, some) for (name, learner), some in results.items()]
    made = [section(curves, name) for name in given.sets] + ([values_section(values)] if values else [])
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    for one in made:
        table = Table(*one.columns, title=one.title, caption="\n".join(one.notes))
        for cells in one.rows:
            table.add_row(*cells)
        console.print(table)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"decisions-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    path.with_suffix(".md").write_text("\n".join(map(markdown, made)))
    said = {"seeds": given.seeds, "curves": [asdict(one) for one in curves], "values": [asdict(one) for one in values]}
    path.with_suffix(".json").write_text(json.dumps(said, indent=2) + "\n")
    console.print(f"Saved: {path}.md and .json", soft_wrap=True)


if __name__ == "__main__":
    main()
