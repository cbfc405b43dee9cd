"""Off-policy evaluation of decisions in episodes, where a choice affects later rewards.

The log has E episodes with N steps in all, each episode's one after the other in their order. Step n has a reward r and
an importance weight w = pi / p, both (N,); gamma discounts what comes a step later. The weight of a reward is the
product of the weights of its episode up to its own step, no further: per-decision importance weights (Precup, Sutton
& Singh, ICML 2000). A model of the policy's returns says q (N,) of the logged action, and v (N,) of the policy.

An episode of one step is a decision of a log without episodes: then all is as in `models.off_policy`. Episodes are
independent of one another, steps are not: so an estimate's influence is (E,), and so are its intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.off_policy import Estimate, Floats, effective_size

Places = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Episodes:
    """Which of N steps belong together: `lengths` (E,) of consecutive steps, each at least 1."""

    lengths: Places

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Episodes":
        """Build episodes from their numbers of steps."""
        return cls(np.array(lengths, np.int64))

    @cached_property
    def number(self) -> Places:
        """Which episode each step is of, (N,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def step(self) -> Places:
        """How many steps come before it, (N,)."""
        return np.arange(len(self.number)) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)

    @cached_property
    def last(self) -> Places:
        """The last step of each episode, (E,)."""
        return np.cumsum(self.lengths) - 1

    def _at_once(self, order: Places) -> list[Places]:
        """Return the steps whose `order` is 0, 1, 2 and so on: at most one of an episode in each."""
        places = np.argsort(order, kind="stable")
        bounds = np.searchsorted(order[places], np.arange(self.lengths.max(initial=0) + 1))
        return [places[start:end] for start, end in pairwise(bounds)]

    def products(self, weights: Floats) -> Floats:
        """Return the weight of each step's reward, (N,): the product of the weights up to it."""
        products = weights.astype(np.float64)
        for places in self._at_once(self.step)[1:]:
            products[places] *= products[places - 1]
        return products

    def returns(self, rewards: Floats, gamma: float, model: "ReturnModel | None" = None) -> Floats:
        """Return the return from each step on, (N,): its reward and gamma times what comes after.

        Without a model that is what was earned. With one it is what the model's policy would have earned after the
        step: v + min(w, 1) (return - q) of the next one. So later rewards have per-decision weights, here cut off at 1,
        which bounds their variance, and the model stands in for what is cut off (Retrace, Munos et al., NeurIPS 2016).
        """
        returns: Floats = rewards.astype(np.float64)
        left = np.repeat(self.lengths, self.lengths) - 1 - self.step
        for places in self._at_once(left)[1:]:
            after, later = places + 1, returns[places + 1]
            if model is not None:
                trusted = np.minimum(model.weights[after], 1.0)
                later = model.values[after] + trusted * (later - model.predicted[after])
            returns[places] += gamma * later
        return returns

    def _summed(self, terms: Floats) -> Floats:
        return np.bincount(self.number, terms, len(self.lengths)).astype(np.float64)

    def on_policy(self, rewards: Floats, gamma: float) -> Estimate:
        """Return the logging policy's own value: the mean over episodes of sum_t gamma^t r_t."""
        return _mean(self._summed(gamma**self.step * rewards))

    def per_decision(self, rewards: Floats, weights: Floats, gamma: float) -> Estimate:
        """Return per-decision importance sampling, mean(sum_t gamma^t w_0..w_t r_t): unbiased, of high variance."""
        return _mean(self._summed(gamma**self.step * self.products(weights) * rewards))

    def weighted_per_decision(self, rewards: Floats, weights: Floats, gamma: float) -> Estimate:
        """Estimate the same, self-normalised at each step: consistent, of lower variance (Thomas, 2015, section 3.11).

        sum_t gamma^t m_t, with m_t the mean of step t's rewards weighted by w_0..w_t. An episode that is over earns 0
        from then on, and keeps its weight. The influence is by the delta method. NaN where no weight is above zero.
        """
        count, longest = len(self.lengths), int(self.lengths.max())
        products = self.products(weights)
        final = products[self.last]
        alive = np.bincount(self.step, products, longest)
        over = np.cumsum(np.bincount(self.lengths, final, longest + 1))[:longest]
        mass = (alive + over) / count
        if not (mass > 0).all():
            return Estimate(float("nan"), np.full(count, np.nan))
        means = np.bincount(self.step, products * rewards, longest) / count / mass
        discounts = gamma ** np.arange(longest)
        own = self._summed((discounts / mass)[self.step] * products * (rewards - means[self.step]))
        later = np.append(np.cumsum((discounts * means / mass)[::-1])[::-1], 0.0)
        return Estimate(float(discounts @ means), own - final * later[self.lengths])

    def doubly_robust(self, rewards: Floats, model: "ReturnModel", gamma: float) -> Estimate:
        """Estimate doubly robustly: mean of V_0 with V_t = v_t + w_t (r_t + gamma V_t+1 - q_t) (Jiang & Li, ICML 2016).

        Unbiased if the propensities are right; of low variance if the model is, which no step of these was fitted on.
        """
        products = self.products(model.weights)
        before = np.where(self.step > 0, np.roll(products, 1), 1.0)
        return _mean(self._summed(gamma**self.step * (before * model.values + products * (rewards - model.predicted))))

    def effective_size(self, weights: Floats) -> float:
        """Return how many episodes of the policy's own the log is worth, by the weights of whole episodes."""
        return effective_size(self.products(weights)[self.last])


@dataclass(frozen=True)
class ReturnModel:
    """Importance weights w of N steps, and a return model's q and v, (N,) each."""

    weights: Floats
    predicted: Floats
    values: Floats


def _mean(terms: Floats) -> Estimate:
    value = float(np.mean(terms))
    return Estimate(value, terms - value)
