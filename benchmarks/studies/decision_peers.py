"""Contextual bandits of other libraries, for the study `decisions`. All serve in rounds and learn from the log."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
EPSILON = 0.1


@dataclass
class DecisionLog:
    """The rounds of one learner so far: contexts (N, c), choices (N,), their propensities, and rewards."""

    contexts: list[Floats] = field(default_factory=list)
    choices: list[Indices] = field(default_factory=list)
    propensities: list[Floats] = field(default_factory=list)
    rewards: list[Floats] = field(default_factory=list)

    def add(self, contexts: Floats, choices: Indices, propensities: Floats, rewards: Floats) -> None:
        """Add a round."""
        self.contexts.append(contexts)
        self.choices.append(choices)
        self.propensities.append(propensities)
        self.rewards.append(rewards)


class Learner(Protocol):
    """A policy that serves a round, and learns from the log of all rounds so far."""

    def serve(self, contexts: Floats) -> tuple[Indices, Floats]:
        """Return a choice for each context, and its propensity."""
        ...

    def best(self, contexts: Floats) -> Indices:
        """Return the best choice for each context, without exploration."""
        ...

    def learn(self, log: DecisionLog) -> None:
        """Learn from the new round of the log."""
        ...


class Uniform:
    """Choose at random, always."""

    def __init__(self, actions: int, seed: int) -> None:
        self._actions, self._rng = actions, np.random.default_rng(seed)

    def serve(self, contexts: Floats) -> tuple[Indices, Floats]:
        return self._rng.integers(self._actions, size=len(contexts)), np.full(len(contexts), 1 / self._actions)

    def best(self, contexts: Floats) -> Indices:
        return self.serve(contexts)[0]

    def learn(self, log: DecisionLog) -> None:
        pass


class EpsilonGreedyLogistic(Uniform):
    """A logistic regression (scikit-learn) of each action's reward, with epsilon-greedy exploration."""

    def __init__(self, actions: int, seed: int) -> None:
        super().__init__(actions, seed)
        self._models: list[LogisticRegression | float] = []

    def serve(self, contexts: Floats) -> tuple[Indices, Floats]:
        random, propensities = super().serve(contexts)
        if not self._models:
            return random, propensities
        best = self.best(contexts)
        choices = np.where(self._rng.random(len(contexts)) < EPSILON, random, best)
        return choices, np.where(choices == best, 1 - EPSILON, 0) + EPSILON / self._actions

    def best(self, contexts: Floats) -> Indices:
        expected_rewards = [
            np.full(len(contexts), model) if isinstance(model, float) else model.predict_proba(contexts)[:, 1]
            for model in self._models
        ]
        choices: Indices = np.argmax(expected_rewards, axis=0)
        return choices

    def learn(self, log: DecisionLog) -> None:
        contexts, choices, rewards = (np.concatenate(column) for column in (log.contexts, log.choices, log.rewards))
        self._models = []
        for action in range(self._actions):
            action_rewards = rewards[choices == action]
            if len(set(action_rewards)) < 2:
                self._models.append(float(action_rewards.mean()) if len(action_rewards) else 0.5)
            else:
                model = LogisticRegression(max_iter=1000)
                self._models.append(model.fit(contexts[choices == action], action_rewards))


class LinUcb(Uniform):
    """LinUCB of MABWiser, which is deterministic after the first round."""

    def __init__(self, actions: int, seed: int) -> None:
        from mabwiser.mab import MAB, LearningPolicy  # type: ignore[import-untyped]

        super().__init__(actions, seed)
        self._mab = MAB(list(range(actions)), LearningPolicy.LinUCB(alpha=0.5), seed=seed)
        self._greedy = MAB(list(range(actions)), LearningPolicy.LinUCB(alpha=0.0), seed=seed)
        self._learned_rounds = 0

    def serve(self, contexts: Floats) -> tuple[Indices, Floats]:
        if not self._learned_rounds:
            return super().serve(contexts)
        return np.array(self._mab.predict(contexts)), np.ones(len(contexts))

    def best(self, contexts: Floats) -> Indices:
        return np.array(self._greedy.predict(contexts))

    def learn(self, log: DecisionLog) -> None:
        for mab in (self._mab, self._greedy):
            fit = mab.partial_fit if self._learned_rounds else mab.fit
            fit(log.choices[-1], log.rewards[-1], log.contexts[-1])
        self._learned_rounds += 1


class VowpalWabbit(Uniform):
    """`cb_explore_adf` of Vowpal Wabbit, with crossed features of context and action, in several passes."""

    passes = 4

    def __init__(self, actions: int, seed: int, exploration: str) -> None:
        from vowpalwabbit import Workspace  # type: ignore[import-untyped]

        super().__init__(actions, seed)
        self._workspace = Workspace(
            f"--cb_explore_adf {exploration} --cb_type mtr -q CA --random_seed {seed} --quiet", enable_logging=False
        )

    def serve(self, contexts: Floats) -> tuple[Indices, Floats]:
        probabilities = self._probabilities(contexts)
        choices = np.array([self._rng.choice(self._actions, p=row) for row in probabilities])
        return choices, probabilities[np.arange(len(choices)), choices]

    def best(self, contexts: Floats) -> Indices:
        choices: Indices = np.argmax(self._probabilities(contexts), axis=1)
        return choices

    def _probabilities(self, contexts: Floats) -> Floats:
        rows = []
        for context in contexts:
            probabilities = np.array(self._workspace.predict(self._example(context)), np.float64)
            rows.append(probabilities / probabilities.sum())
        return np.array(rows)

    def learn(self, log: DecisionLog) -> None:
        decisions = zip(log.contexts[-1], log.choices[-1], log.rewards[-1], log.propensities[-1], strict=True)
        examples = [
            self._example(context, (int(choice), float(reward), float(propensity)))
            for context, choice, reward, propensity in decisions
        ]
        for _ in range(self.passes):
            for index in self._rng.permutation(len(examples)):
                self._workspace.learn(examples[index])

    def _example(self, context: Floats, decision: tuple[int, float, float] | None = None) -> str:
        """Return an example as text; `decision` is the choice, its reward and its propensity."""
        shared = " ".join(f"{index}:{value:.5f}" for index, value in enumerate(context))
        lines = [f"shared |C constant:1 {shared}"]
        for action in range(self._actions):
            label = f"0:{-decision[1]:.3f}:{decision[2]:.6f} " if decision and decision[0] == action else ""
            lines.append(f"{label}|A a{action}")
        return "\n".join(lines)
