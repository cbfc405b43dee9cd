"""The network: independent of padding and neighbours, the same in JAX and in ONNX Runtime."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal, from_onnx, to_onnx
from models.nn.convolution import Parameters, parameter_count

NETWORK = ConvCtc(height=11, classes=5, stem=(4, 6), channels=8, dilations=(1, 2))
TEMPERATURE = 1.7
LOGITS = jax.jit(NETWORK.logits)


@cache
def lively_parameters() -> Parameters:
    """Nothing zero, so that each layer and each bias counts."""
    rng = np.random.default_rng(3)
    return [
        (
            jnp.asarray(rng.normal(0, 0.3, weights.shape), jnp.float32),
            jnp.asarray(rng.normal(size=bias.shape), jnp.float32),
        )
        for weights, bias in NETWORK.initial(0)
    ]


@cache
def served() -> Any:
    model = to_onnx(NETWORK, lively_parameters(), Signal("signal", np.float32, 0.5), TEMPERATURE)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def serve(signals: NDArray[np.float32], widths: list[int]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    log_probs, lengths = served().run(["log_probs", "length"], {"signal": signals, "width": np.array(widths, np.int32)})
    return log_probs, lengths


def noise(seed: int, batch: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(batch, NETWORK.height, width)).astype(np.float32)


@given(seed=st.integers(0, 1000), widths=st.lists(st.integers(1, 40), min_size=1, max_size=4), spare=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_a_signal_gives_the_same_alone_and_padded_in_a_batch(seed: int, widths: list[int], spare: int) -> None:
    signals = noise(seed, len(widths), max(widths) + spare)  # noise in the padding, too: it must not be seen
    together, lengths = serve(signals, widths)
    for row, width in enumerate(widths):
        alone, (length,) = serve(signals[row : row + 1, :, :width], [width])
        assert length == lengths[row] == (width + 1) // 2 == alone.shape[1]
        np.testing.assert_allclose(together[row, :length], alone[0], atol=1e-4)


@given(seed=st.integers(0, 1000), widths=st.lists(st.integers(1, 40), min_size=2, max_size=2))
@settings(max_examples=5, deadline=None)
def test_onnx_runtime_agrees_with_jax(seed: int, widths: list[int]) -> None:
    signals = noise(seed, 2, 40)
    logits = LOGITS(lively_parameters(), jnp.asarray(signals) * 0.5, jnp.asarray(widths)) / TEMPERATURE
    expected = np.asarray(logits - jnp.log(jnp.exp(logits).sum(axis=2, keepdims=True)))
    found, lengths = serve(signals, widths)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(found[row, :length], expected[row, :length], atol=1e-4)


def test_a_model_gives_its_parameters_and_temperature_back() -> None:
    model = to_onnx(NETWORK, lively_parameters(), Signal("signal", np.float32, 1.0), TEMPERATURE)
    parameters, temperature = from_onnx(model)
    assert np.isclose(temperature, TEMPERATURE)
    assert parameter_count(parameters) == parameter_count(lively_parameters())
    for (weights, bias), (expected_weights, expected_bias) in zip(parameters, lively_parameters(), strict=True):
        np.testing.assert_array_equal(weights, expected_weights)
        np.testing.assert_array_equal(bias, expected_bias)


def test_the_first_parameters_depend_on_the_seed_alone() -> None:
    first, again, other = NETWORK.initial(1), NETWORK.initial(1), NETWORK.initial(2)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not np.array_equal(first[0][0], other[0][0])
