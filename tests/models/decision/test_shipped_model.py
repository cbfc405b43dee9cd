"""The model that ships with the project does what its card says."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import models.decision
from app.inference.predictor import stack_inputs
from models.base import EvaluatedSample
from models.decision import Decision
from models.nn.onnx_inference import judge, session

VERSION = Path(models.decision.__file__).parent / "versions" / "1"
CARD = json.loads((VERSION / "card.json").read_text())
MODEL = (VERSION / "model.onnx").read_bytes()
TASK = Decision()


@cache
def held_out() -> tuple[EvaluatedSample, ...]:
    return tuple(judge(session(MODEL), TASK, list(TASK.held_out())))


def test_the_figures_are_those_of_the_card() -> None:
    for name, value in TASK.figures(held_out()).items():
        assert value == pytest.approx(CARD["figures"][name], abs=1e-3), name


def test_most_of_the_regret_of_showing_anything_is_gone() -> None:
    figures = CARD["figures"]
    assert figures["regret"] < 0.25 * figures["regret_uniform"]
    assert figures["regret_greedy"] < 0.15 * figures["regret_uniform"]
    assert figures["reward_ece"] < 0.03


def test_the_card_says_what_the_model_was_made_of() -> None:
    assert CARD["task"] == TASK.name
    assert CARD["schema"] == TASK.schema.described()
    assert CARD["model bytes"] == len(MODEL)
    assert CARD["parity_max_abs_diff"] < 1e-3
    low, high = CARD["validation"]["doubly_robust"][1:]
    assert low < CARD["figures"]["reward"] < high


def test_a_decision_gives_the_same_alone_and_padded_among_others() -> None:
    session = onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    features = [TASK.preprocess(one.sample.payload) for one in held_out()[:200]]
    some = [one for one in features if 4 < len(one["actions"]) <= 8]
    assert len({len(one["actions"]) for one in some}) > 1
    together = session.run(["logits", "rewards"], stack_inputs(TASK, some))
    for row, one in enumerate(some):
        alone = session.run(["logits", "rewards"], {name: value[None] for name, value in TASK.inputs(one).items()})
        for all_of_them, own in zip(together, alone, strict=True):
            np.testing.assert_allclose(all_of_them[row, : len(one["actions"])], own[0], atol=1e-4)


def test_absurd_numbers_still_make_a_decision() -> None:
    request = json.loads(held_out()[0].sample.payload)
    request["context"]["budget"] = 3e38
    request["actions"][0]["price"] = -3e38
    sample = held_out()[0].sample
    [one] = judge(session(MODEL), TASK, [type(sample)("absurd", json.dumps(request).encode(), "application/json", {})])
    assert sum(one.decoded.output["probabilities"].values()) == 1.0
