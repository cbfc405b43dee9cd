"""Reading a TensorFlow.js graph model: the JSON file of its nodes, and the files of its weights.

The format is that of tfjs-converter: TensorFlow's GraphDef as JSON, and constants one after another, little-endian.
"""

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

    def text(self, attribute: str) -> str:
        """Return an attribute that is a text, which the file has as the numbers of its bytes."""
        return bytes(self._attributes[attribute]["s"]).decode()


@dataclass(frozen=True)
class TfjsGraph:
    """The nodes of a graph and its constants, by name."""

    nodes: Mapping[str, Node]
    constants: Mapping[str, NDArray[Any]]

    @classmethod
    def read(cls, topology: bytes, weights: bytes) -> Self:
        """Return the graph in a file of nodes and the joined files of weights.

        Raises `ValueError` where the weights are not those of the topology.
        """
        model = json.loads(topology)
        nodes = [
            Node(node["name"], node["op"], tuple(node.get("input", ())), node.get("attr", {}))
            for node in model["modelTopology"]["node"]
        ]
        return cls({node.name: node for node in nodes}, _constants(model["weightsManifest"], weights))


def _constants(manifest: list[dict[str, Any]], weights: bytes) -> dict[str, NDArray[Any]]:
    entries = [entry for group in manifest for entry in group["weights"]]
    size = sum(math.prod(entry["shape"]) * np.dtype(entry["dtype"]).itemsize for entry in entries)
    if size != len(weights):
        raise ValueError(f"the graph has {size:,} bytes of constants, the files of its weights {len(weights):,}")
    constants, position = {}, 0
    for entry in entries:
        values = np.frombuffer(weights, np.dtype(entry["dtype"]).newbyteorder("<"), math.prod(entry["shape"]), position)
        constants[entry["name"]] = values.reshape(entry["shape"]).astype(entry["dtype"])
        position += values.nbytes
    return constants
