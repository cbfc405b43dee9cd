"""Reading a TensorFlow.js graph model: the JSON file of its nodes, and the file of its weights.

The format is that of tfjs-converter: TensorFlow's GraphDef as JSON, and constants one after another, little-endian.
"""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Node:
    """An operator: its name, what it does, and the names of the nodes that it takes."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    _attributes: Mapping[str, Any]

    def integers(self, attribute: str) -> list[int]:
        """Return an attribute that is a list of integers."""
        return [int(value) for value in self._attributes[attribute]["list"]["i"]]

    def number(self, attribute: str) -> float:
        """Return an attribute that is a float."""
        return float(self._attributes[attribute]["f"])

    def flag(self, attribute: str) -> bool:
        """Return an attribute that is a truth value; one that is not given is false."""
        return bool(self._attributes.get(attribute, {}).get("b", False))

    def text(self, attribute: str) -> str:
        """Return an attribute that is a text."""
        return base64.b64decode(self._attributes[attribute]["s"]).decode()


@dataclass(frozen=True)
class TfjsGraph:
    """The nodes of a graph and its constants, by name."""

    nodes: Mapping[str, Node]
    constants: Mapping[str, NDArray[Any]]

    @classmethod
    def read(cls, topology: bytes, weights: bytes) -> Self:
        """Return the graph in two files. Raises `ValueError` where the weights are not those of the topology."""
        model = json.loads(topology)
        nodes = [
            Node(node["name"], node["op"], tuple(node.get("input", ())), node.get("attr", {}))
            for node in model["modelTopology"]["node"]
        ]
        return cls({node.name: node for node in nodes}, _constants(model["weightsManifest"], weights))


def _constants(manifest: list[dict[str, Any]], weights: bytes) -> dict[str, NDArray[Any]]:
    constants, position = {}, 0
    for entry in [entry for group in manifest for entry in group["weights"]]:
        stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
        count = math.prod(entry["shape"])
        values = np.frombuffer(weights, stored, count, position).reshape(entry["shape"])
        constants[entry["name"]] = values.astype(entry["dtype"])
        position += count * stored.itemsize
    if position != len(weights):
        raise ValueError(f"the graph has {position:,} bytes of constants, the file of its weights {len(weights):,}")
    return constants
