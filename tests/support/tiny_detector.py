"""A detector with the ends of the real one, and one layer of features: made up, and of a few kilobytes a level."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.manifest import MANIFEST, MODEL, Manifest, listed, write_version
from models.nn.onnx_graph import Graph
from models.object_detection.anchors import CLASSES
from models.object_detection.conversion.ssdlite import UNUSED_IDS, joined, put_out
from models.object_detection.labels import LABELS
from models.object_detection.pictures import SIDE

STRIDES, CELLS, ANCHORS, FEATURES = (16, 30, 60, 100, 150, 300), (19, 10, 5, 3, 2, 1), (3, 6, 6, 6, 6, 6), 8
SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
_STEEPNESS = 2.0


def tiny_detector() -> bytes:
    """Return the ONNX file: it sees nothing anywhere, for its biases say so."""
    rng, graph = np.random.default_rng(5), Graph("tiny")
    pixels = graph.cast(graph.input("image", np.uint8, ["batch", SIDE, SIDE, 3]), np.float32)
    image = graph.add("Mul", graph.add("Transpose", pixels, perm=[0, 3, 1, 2]), graph.scalar(1 / 255, np.float32))
    ends: dict[str, list[str]] = {"BoxEncodingPredictor": [], "ClassPredictor": []}
    for level, (stride, anchors) in enumerate(zip(STRIDES, ANCHORS, strict=True)):
        size = [stride, stride]
        pooled = graph.add("AveragePool", image, kernel_shape=size, strides=size, auto_pad="SAME_UPPER")
        weights = graph.constant(rng.normal(0, _STEEPNESS, (FEATURES, 3, 1, 1)).astype(np.float32))
        features = graph.add("Relu", graph.add("Conv", pooled, weights))
        for end, values, bias in (
            ("BoxEncodingPredictor", 4, 0.0),
            ("ClassPredictor", CLASSES + len(UNUSED_IDS), -4.0),
        ):
            name, outputs = f"BoxPredictor_{level}/{end}", anchors * values
            weights = graph.constant(
                rng.normal(0, 0.05, (outputs, FEATURES, 1, 1)).astype(np.float32), f"{name}/weights"
            )
            biases = graph.constant(np.full((outputs, 1, 1), bias, np.float32), f"{name}/biases")
            ends[end].append(graph.add("Add", graph.add("Conv", features, weights), biases))
    encodings, logits = joined(graph, ends["BoxEncodingPredictor"], 4), joined(graph, ends["ClassPredictor"], 91)
    put_out(graph, encodings, logits, _anchors())
    content: bytes = graph.model({}).SerializeToString(deterministic=True)
    return content


def _anchors() -> NDArray[np.float32]:
    """Return squares around the middle of each cell, those of a cell of several sizes."""
    boxes = []
    for cells, anchors, scale in zip(CELLS, ANCHORS, SCALES, strict=True):
        middles = (np.arange(cells) + 0.5) / cells
        for down in middles:
            for across in middles:
                half = scale * np.linspace(0.8, 1.2, anchors) / 2
                boxes.append(np.stack([down - half, across - half, down + half, across + half], axis=1))
    return np.concatenate(boxes, dtype=np.float32)


def write_tiny_version(directory: Path) -> Path:
    """Write a version of it; return its manifest."""
    files = {MODEL: tiny_detector()}
    manifest = Manifest(files=listed(files), labels=LABELS)
    path = write_version(directory, manifest.content(), files, None)
    assert path.name == MANIFEST
    return path
