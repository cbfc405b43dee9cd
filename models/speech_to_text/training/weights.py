"""The decoder's weights by the modules that they belong to, as its file names them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adapters.linear_layer import Floats
from models.adapters.quantised_weights import QuantisedWeights, initializers, quantised, read_graph, weights_by_output

_MODULE = re.compile(
    r"/model/decoder/(?:layers\.(\d+)/)?(\w+(?:/\w+)?)/(?:(?:MatMul|Add|LayerNormalization)_output_0|Gather_output_0_quantized)"
)
_LOGITS = "logits"

Layers = dict[str, Floats]
"""Weights by module, those of all layers in one array: its first dimension is the layer."""


@dataclass(frozen=True)
class DecoderWeights:
    """What the decoder computes with.

    `layers` has matrices (layers, inputs, outputs), biases and scales (layers, outputs); `embedding` is (tokens,
    features), `output` (features, tokens), `norm` (features,). `matrices` are those of the layers as they are stored.
    """

    layers: Layers
    embedding: Floats
    output: Floats
    norm: Floats
    matrices: Mapping[str, list[QuantisedWeights]]

    def replaced(self, integers: Mapping[str, NDArray[Any]]) -> "DecoderWeights":
        """Return the weights with other integers for some matrices of the layers."""
        matrices = {
            module: [replace(one, integers=integers.get(one.name, one.integers)) for one in stored]
            for module, stored in self.matrices.items()
        }
        changed = {module: np.stack([one.values() for one in stored]) for module, stored in matrices.items()}
        return replace(self, layers={**self.layers, **changed}, matrices=matrices)

    @classmethod
    def read(cls, decoder: Path, replaced: Mapping[str, NDArray[Any]]) -> "DecoderWeights":
        """Return the weights in a file, some of them replaced. Raises `KeyError` for other decoders."""
        model = read_graph(decoder)
        stored = {**initializers(model), **replaced}
        (branches,) = (node for node in model.graph.node if node.op_type == "If")
        first = next(one.g for one in branches.attribute if one.name == "else_branch")
        found: dict[tuple[int | None, str], list[str]] = {}
        for output, names, _ in weights_by_output(first, stored):
            if output == _LOGITS:
                found[None, _LOGITS] = names
            elif named := _MODULE.fullmatch(output):
                layer, module = named.groups()
                found[None if layer is None else int(layer), module] = names
        count = 1 + max(layer for layer, _ in found if layer is not None)
        modules = [module for layer, module in found if layer == 0]
        matrices: dict[str, list[QuantisedWeights]] = {}
        layers: Layers = {}
        for module in modules:
            rows = [found[layer, module] for layer in range(count)]
            if rows[0][0].endswith("_quantized"):
                matrices[module] = [quantised(stored, row[0]) for row in rows]
                layers[module] = np.stack([one.values() for one in matrices[module]])
            else:
                layers[module] = np.stack([stored[row[0]] for row in rows])
            if module.startswith("mlp/"):
                layers[f"{module}/bias"] = np.stack([stored[row[-1]] for row in rows])
        return cls(
            layers,
            quantised(stored, found[None, "embed_tokens"][0]).values(),
            quantised(stored, found[None, _LOGITS][0]).values(),
            stored[found[None, "norm"][0]],
            matrices,
        )
