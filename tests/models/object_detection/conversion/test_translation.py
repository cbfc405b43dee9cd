"""TensorFlow.js graphs become ONNX graphs that compute the same."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.nn.onnx_graph import Graph
from models.nn.onnx_inference import session
from models.object_detection.conversion.tfjs import TfjsGraph
from models.object_detection.conversion.translation import Translation

Array = NDArray[np.float32]
RNG = np.random.default_rng(3)


def artifacts(nodes: list[dict[str, Any]], constants: dict[str, Array]) -> tuple[bytes, bytes]:
    """Return the two files of a graph, as tfjs-converter writes them."""
    weights = [
        {"name": name, "shape": list(value.shape), "dtype": str(value.dtype)} for name, value in constants.items()
    ]
    topology = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": ["shard"], "weights": weights}]}
    return json.dumps(topology).encode(), b"".join(value.tobytes() for value in constants.values())


def node(name: str, operator: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "op": operator, "input": list(inputs), "attr": attributes}


def convolution(name: str, operator: str, *inputs: str, stride: int, padding: bytes = b"SAME") -> dict[str, Any]:
    return node(
        name,
        operator,
        *inputs,
        strides={"list": {"i": ["1", str(stride), str(stride), "1"]}},
        dilations={"list": {"i": ["1"] * 4}},
        padding={"s": list(padding)},
        data_format={"s": list(b"NHWC")},
    )


def normal(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def run(nodes: list[dict[str, Any]], constants: dict[str, Array], image: Array) -> Array:
    """Return the last node's value, its channels last again."""
    graph = Graph("test")
    value = graph.input("image", np.float32, ["batch", image.shape[3], *image.shape[1:3]])
    translation = Translation(TfjsGraph.read(*artifacts(nodes, constants)), graph, {"image": value})
    graph.output("out", translation.value(nodes[-1]["name"]), np.float32, ["batch", "c", "h", "w"])
    (out,) = session(graph.model({}).SerializeToString()).run(None, {"image": image.transpose(0, 3, 1, 2)})
    return np.asarray(out).transpose(0, 2, 3, 1)


def convolved(image: Array, weights: Array, stride: int) -> Array:
    """Convolve as TensorFlow defines SAME: what can't be shared evenly is added below and to the right."""
    rows, columns = weights.shape[:2]
    sizes = [-(-length // stride) for length in image.shape[1:3]]
    extra = [
        max((size - 1) * stride + kernel - length, 0)
        for size, kernel, length in zip(sizes, (rows, columns), image.shape[1:3], strict=True)
    ]
    padded = np.pad(image, [(0, 0), *[(each // 2, each - each // 2) for each in extra], (0, 0)])
    out = np.zeros((len(image), *sizes, weights.shape[3]), np.float32)
    for row in range(sizes[0]):
        for column in range(sizes[1]):
            patch = padded[:, row * stride :, column * stride :][:, :rows, :columns]
            out[:, row, column] = np.einsum("bhwi,hwio->bo", patch, weights)
    return out


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 5), (7, 8)])
def test_convolutions_are_padded_as_tensorflow_does(stride: int, size: tuple[int, int]) -> None:
    image, weights, biases = normal(2, *size, 3), normal(3, 3, 3, 4), normal(4)
    nodes = [
        convolution("conv", "Conv2D", "image", "weights", stride=stride),
        node("biased", "BiasAdd", "conv", "biases"),
        node("relu", "Relu6", "biased"),
    ]
    found = run(nodes, {"weights": weights, "biases": biases}, image)
    np.testing.assert_allclose(found, np.clip(convolved(image, weights, stride) + biases, 0, 6), atol=1e-5)


def test_a_depthwise_convolution_keeps_channels_apart() -> None:
    image, weights = normal(2, 6, 6, 3), normal(3, 3, 3, 1)
    found = run(
        [convolution("conv", "DepthwiseConv2dNative", "image", "weights", stride=2)], {"weights": weights}, image
    )
    for channel in range(3):
        expected = convolved(image[..., [channel]], weights[:, :, [channel]], 2)
        np.testing.assert_allclose(found[..., [channel]], expected, atol=1e-5)


def test_normalization_and_residuals() -> None:
    image, names = normal(2, 4, 4, 3), ("gamma", "beta", "mean", "variance")
    constants = {name: np.abs(normal(3)) + np.float32(0.1) for name in names}
    nodes = [
        node("normal", "FusedBatchNorm", "image", *names, epsilon={"f": 0.001}),
        node("scaled", "Mul", "normal", "gamma"),
        node("sum", "AddN", "scaled", "image"),
        node("all", "Add", "beta", "sum"),
    ]
    gamma, beta, mean, variance = constants.values()
    expected = ((image - mean) / np.sqrt(variance + 0.001) * gamma + beta) * gamma + image + beta
    np.testing.assert_allclose(run(nodes, constants, image), expected, atol=1e-5)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="operator Softmax of last is not known"):
        run([node("last", "Softmax", "image")], {}, normal(1, 2, 2, 3))
    with pytest.raises(ValueError, match="convolution of another form"):
        run(
            [convolution("conv", "Conv2D", "image", "w", stride=1, padding=b"VALID")],
            {"w": normal(3, 3, 3, 4)},
            normal(1, 5, 5, 3),
        )


def test_weights_of_another_graph_are_refused() -> None:
    topology, weights = artifacts([], {"w": normal(3, 3)})
    with pytest.raises(ValueError, match="has 36 bytes of constants, the files of its weights 40"):
        TfjsGraph.read(topology, weights + b"more")
