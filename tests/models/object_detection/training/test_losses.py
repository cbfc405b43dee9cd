"""Losses of the last layers."""

import jax
import numpy as np
import pytest

from models.nn.convolution import Parameters
from models.object_detection.anchors import CLASSES
from models.object_detection.training.cells import Cells, LevelCells
from models.object_detection.training.losses import correction_loss, divergence

SLOPE = 2.0


def cells(label: int, logit: float = -1.0, weight: float = 1.0) -> Cells:
    """One level of one picture with one cell of one anchor, whose features are one number each."""
    one = np.ones((1, 1, 1), np.float16)
    logits = np.full((1, 1, 1, CLASSES), -20, np.float16)
    logits[..., 5] = logit
    edges, labels = np.zeros((1, 1, 1, 4), np.float16), np.full((1, 1, 1), label, np.int8)
    truth, weights = np.full((1, 1, 1, 4), 3.0, np.float32), np.full((1, 1), weight, np.float32)
    return [LevelCells(one, one, logits, edges, labels, truth, weights)]


def added(logit: float = 0.0, edge: float = 0.0) -> Parameters:
    return [
        (jax.numpy.zeros((1, CLASSES)).at[0, 5].set(logit), jax.numpy.zeros(CLASSES)),
        (jax.numpy.zeros((1, 4)), jax.numpy.full(4, edge)),
    ]


def test_the_loss_of_a_class_is_the_cross_entropy_of_the_probability_that_is_put_out() -> None:
    probability = 1 / (1 + np.exp(-SLOPE * -1.0))
    seen = float(correction_loss(SLOPE, added(edge=3.0), cells(5)))
    assert seen == pytest.approx(-np.log(probability), abs=1e-4)
    unseen = float(correction_loss(SLOPE, added(), cells(-1)))
    assert unseen == pytest.approx(-np.log(1 - probability), abs=1e-4)


def test_edges_cost_smooth_l1_where_an_object_is_seen() -> None:
    there, off = (float(correction_loss(SLOPE, added(edge=edge), cells(5))) for edge in (3.0, 1.0))
    assert off - there == pytest.approx(4 * (2.0 - 0.5), abs=1e-4)
    nothing = [float(correction_loss(SLOPE, added(edge=edge), cells(-1))) for edge in (3.0, 1.0)]
    assert nothing[0] == nothing[1]


def test_a_cell_counts_as_often_as_its_weight_says() -> None:
    once, twice = (float(divergence(SLOPE, added(logit=1.0), cells(-1, weight=weight))) for weight in (1.0, 2.0))
    assert twice == pytest.approx(2 * once)


def test_nothing_diverges_where_nothing_is_added() -> None:
    assert float(divergence(SLOPE, added(), cells(-1))) == pytest.approx(0, abs=1e-6)
    assert float(divergence(SLOPE, added(logit=1.0), cells(-1))) > 0.1


def test_edges_diverge_only_where_the_parent_sees_something() -> None:
    sure, unsure = (float(divergence(SLOPE, added(edge=1.0), cells(-1, logit=logit))) for logit in (5.0, -20.0))
    assert sure == pytest.approx(4 * 0.5, abs=1e-3)
    assert unsure == pytest.approx(0, abs=1e-3)
