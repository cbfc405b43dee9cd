"""Fitting: that it learns, and that it repeats itself exactly."""

import numpy as np

from models.small.object_detection.training.fitting import DetectorFittingPlan, fit, mirrored
from models.small.object_detection.training.network import Detector
from tests.support.detection_scenes import make_block_scenes

NETWORK = Detector(channels=(4, 4, 6, 8), blocks=(0, 0, 1, 0), head=8)
PLAN = DetectorFittingPlan(epochs=8, batch=16, rate=1e-2, seed=4)


def test_mirroring_twice_changes_nothing() -> None:
    examples = make_block_scenes(3, 0)
    squares, boxes = mirrored(*mirrored(examples.squares, examples.boxes))
    np.testing.assert_array_equal(squares, examples.squares)
    np.testing.assert_array_equal(boxes, examples.boxes)


def test_the_loss_falls_each_step_is_reported_and_the_same_seed_gives_the_same() -> None:
    steps: list[tuple[int, int, float]] = []
    examples = make_block_scenes(64, 1)
    fitted = fit(NETWORK, NETWORK.initial(0), examples, PLAN, lambda *step: steps.append(step))
    assert [step for step, _, _ in steps] == list(range(1, 8 * 4 + 1))
    assert {total for _, total, _ in steps} == {32}
    assert np.mean(fitted.losses[-5:]) < 0.6 * np.mean(fitted.losses[:5])
    again = fit(NETWORK, NETWORK.initial(0), examples, PLAN)
    assert fitted.losses == again.losses
    for (weights, _), (weights_again, _) in zip(fitted.parameters, again.parameters, strict=True):
        np.testing.assert_array_equal(weights, weights_again)
