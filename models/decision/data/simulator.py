"""A simulated problem with a known answer: which of several offers to show to a visitor of a shop.

A visitor has a device, an interest, a budget (in euros), comes at an hour, for the first time or again. Between 2 and
12 offers are at hand, each of a category, with a price (in euros), a discount (in percent), a layout. The reward is 1
if the visitor takes the offer that is shown, else 0; that probability is known (`acceptance_probabilities`), and so
are the best offer and the regret.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.base import EvaluatedSample, Sample
from models.nn.calibration import expected_calibration_error

SAMPLES = Path(__file__).parents[1] / "samples"
DEVICES = ("phone", "tablet", "desktop")
CATEGORIES = ("books", "garden", "kitchen", "sport")
LAYOUTS = ("compact", "video")
MIN_OFFERS, MAX_OFFERS = 2, 12
HELD_OUT = 2_000
HELD_OUT_SEED, TRAINING_SEED, DEMONSTRATION_SEED = 1, 2, 3
"""The first number of each seed sequence, so that no visitor occurs in two of them."""


def visit(rng: Generator) -> dict[str, Any]:
    """Return a request: a visitor, and the offers at hand."""
    offers = [_offer(rng, number) for number in range(int(rng.integers(MIN_OFFERS, MAX_OFFERS + 1)))]
    return {
        "context": {
            "device": DEVICES[int(rng.choice(3, p=(0.5, 0.15, 0.35)))],
            "interest": CATEGORIES[int(rng.integers(4))],
            "returning": ("no", "yes")[int(rng.random() < 0.4)],
            "hour": int(rng.integers(24)),
            "budget": round(float(rng.lognormal(3.7, 0.6)), 2),
        },
        "actions": offers,
    }


def _offer(rng: Generator, number: int) -> dict[str, Any]:
    return {
        "id": f"offer-{number}-{int(rng.integers(1000)):03d}",
        "category": CATEGORIES[int(rng.integers(4))],
        "layout": LAYOUTS[int(rng.integers(2))],
        "price": round(float(rng.lognormal(3.7, 0.7)), 2),
        "discount": int(rng.integers(0, 7)) * 5,
    }


def acceptance_probabilities(request: Mapping[str, Any]) -> dict[str, float]:
    """Return the probability that the visitor takes an offer, by its id: the expected reward of showing it."""
    context = request["context"]
    return {offer["id"]: _acceptance_probability(context, offer) for offer in request["actions"]}


def _acceptance_probability(context: Mapping[str, Any], offer: Mapping[str, Any]) -> float:
    """Return the probability: logistic with interactions, one of them (price against budget) far from linear."""
    interested = offer["category"] == context["interest"]
    evening = context["hour"] >= 18
    likes_video = context["device"] == "desktop" or evening
    cost = offer["price"] * (1 - offer["discount"] / 100)
    score = -2.0 + 1.8 * interested
    score += (0.6 if likes_video else -0.6) * (1 if offer["layout"] == "video" else -1)
    score += (0.05 if context["returning"] == "no" else 0.02) * offer["discount"]
    score -= 1.2 * abs(np.log(cost / context["budget"]))
    score += 0.8 if offer["category"] == "sport" and context["hour"] < 9 else 0.0
    return float(1 / (1 + np.exp(-score)))


def sample(request: Mapping[str, Any], name: str) -> Sample:
    """Return the request as an application sends it; its correction is the best offer."""
    known = acceptance_probabilities(request)
    best = max(known, key=known.__getitem__)
    return Sample(name, json.dumps(request).encode(), "application/json", {"action": best})


def visits(count: int, *seed: int) -> Iterator[Sample]:
    """Return this many visits, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return (sample(visit(rng), f"visit-{number}") for number in range(count))


def held_out() -> Iterator[Sample]:
    """Return the visits of the held-out set, which no training sees."""
    return visits(HELD_OUT, HELD_OUT_SEED)


def stream(seed: int) -> Iterator[Sample]:
    """Yield visits without end."""
    rng = np.random.default_rng((DEMONSTRATION_SEED, seed))
    number = 0
    while True:
        yield sample(visit(rng), f"visit-{number}")
        number += 1


@cache
def shipped_samples() -> tuple[Sample, ...]:
    """Return the files in `samples/`."""
    return tuple(sample(json.loads(path.read_bytes()), path.name) for path in sorted(SAMPLES.glob("*.json")))


def reward(shown: Sample, output: Mapping[str, Any], rng: Generator) -> float:
    """Return 1.0 if the visitor takes the offer that was chosen, else 0.0."""
    return float(rng.random() < acceptance_probabilities(json.loads(shown.payload))[output["action"]])


def figures(judged: Sequence[EvaluatedSample]) -> dict[str, float]:
    """Measure a policy by the known probabilities. `reward` and `regret` are exact expectations over its choices.

    `regret` is the best offer's expected reward less the policy's, `regret_greedy` the same of its most probable offer,
    `best_greedy` the share of visits where that offer is the best. `reward_ece` is the calibration error of the
    confidence against the true probability of the chosen offer.
    """
    policy, greedy, best, uniform, confidence, hits = (np.zeros(len(judged)) for _ in range(6))
    chance: NDArray[Any] = np.zeros(len(judged))
    for row, evaluated in enumerate(judged):
        known = acceptance_probabilities(json.loads(evaluated.sample.payload))
        probabilities = evaluated.decoded.output["probabilities"]
        favourite = max(probabilities, key=probabilities.__getitem__)
        policy[row] = sum(probability * known[offer] for offer, probability in probabilities.items())
        greedy[row], best[row], uniform[row] = known[favourite], max(known.values()), np.mean(list(known.values()))
        confidence[row], chance[row] = evaluated.decoded.confidence, known[evaluated.decoded.output["action"]]
        hits[row] = favourite == evaluated.sample.correction["action"]
    return {
        "reward": float(policy.mean()),
        "reward_greedy": float(greedy.mean()),
        "reward_uniform": float(uniform.mean()),
        "reward_best": float(best.mean()),
        "regret": float((best - policy).mean()),
        "regret_greedy": float((best - greedy).mean()),
        "regret_uniform": float((best - uniform).mean()),
        "best_greedy": float(hits.mean()),
        "reward_ece": expected_calibration_error(confidence, chance),
    }
