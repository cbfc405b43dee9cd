"""The network: the same in JAX and in ONNX Runtime, and to go on from what was exported."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from models.nn.convolution import Parameters
from models.small.object_detection.training.network import Detector
from models.small.object_detection.training.onnx_export import Calibration, from_onnx, to_onnx

NETWORK = Detector(channels=(4, 4, 6, 8), blocks=(1, 1, 1, 1), head=5)
CALIBRATION = Calibration(1.3, -0.4, (0.5, 0.7, 0.9))


@cache
def lively_parameters() -> Parameters:
    """Nothing zero, so that each layer and each bias counts."""
    rng = np.random.default_rng(3)
    return [
        (
            jnp.asarray(rng.normal(0, 0.2, weights.shape), jnp.float32),
            jnp.asarray(rng.normal(0, 0.2, bias.shape), jnp.float32),
        )
        for weights, bias in NETWORK.initial(0)
    ]


@cache
def model() -> onnx.ModelProto:
    return to_onnx(NETWORK, lively_parameters(), CALIBRATION)


def serve(squares: NDArray[np.uint8]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(model().SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(["scores", "distances", "certainty"], {"image": squares})
    return found


def noise(batch: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(256, size=(batch, 128, 128, 3), dtype=np.uint8)


def test_onnx_runtime_agrees_with_jax() -> None:
    logits, distances = jax.jit(NETWORK.maps)(lively_parameters(), noise(3))
    scores, found, certainty = serve(noise(3))
    assert np.std(np.asarray(logits)) > 0.1
    assert np.std(np.asarray(distances)) > 0.1
    np.testing.assert_allclose(scores, jax.nn.sigmoid(1.3 * logits - 0.4), atol=1e-5)
    np.testing.assert_allclose(found, distances, atol=1e-3)
    np.testing.assert_allclose(certainty, [[0.5, 0.7, 0.9]] * 3, rtol=1e-6)


def test_a_scene_gives_the_same_alone_and_in_a_batch() -> None:
    together, alone = serve(noise(4)), serve(noise(4)[2:3])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[2:3], other, atol=1e-4)


def test_a_model_gives_its_parameters_back() -> None:
    for (weights, bias), (true_weights, true_bias) in zip(from_onnx(model()), lively_parameters(), strict=True):
        np.testing.assert_array_equal(weights, true_weights)
        np.testing.assert_array_equal(bias, true_bias)


def test_the_first_parameters_depend_on_the_seed_alone_and_say_that_objects_are_rare() -> None:
    first, again, other = NETWORK.initial(1), NETWORK.initial(1), NETWORK.initial(2)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not np.array_equal(first[0][0], other[0][0])
    logits, distances = jax.jit(NETWORK.maps)(first, noise(1))
    assert float(jax.nn.sigmoid(logits).mean()) == pytest.approx(0.02, abs=0.02)
    np.testing.assert_allclose(distances, 8.0, rtol=0.5)
