"""The runtime of an ONNX file of which some weights are others: a version that has learned stores only these.

`model.onnx` stays the first parent's; `weights.npz` has arrays by the names of those of the file that they replace. The
two are merged when the version is opened.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.manifest import MODEL, VersionFiles, listed
from models.runtimes.base import Execution
from models.runtimes.onnx import OnnxModel

WEIGHTS = "weights.npz"
RUNTIME = f"{__name__}:ReplacedWeights"

Weights = Mapping[str, NDArray[Any]]


class ReplacedWeights(OnnxModel):
    """One ONNX file, some of whose weights are those of `weights.npz`."""

    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        """Open the files. Raises `KeyError` if one is missing, `ValueError` for weights that the model doesn't have."""
        self._serve(execution.open(merged(files).SerializeToString()))


def merged(files: VersionFiles) -> Any:
    """Return a version's model with the weights that it has learned. Raises as `ReplacedWeights` does."""
    import onnx  # only here: a version that has not learned is served without it

    return replaced(onnx.load(files.path(MODEL)), stored_weights(files))


def replaced(model: Any, weights: Weights) -> Any:
    """Return a copy of a model with other weights. Raises `ValueError` for those that it doesn't have."""
    import onnx

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    stored = {tensor.name: tensor for tensor in changed.graph.initializer}
    for name, array in weights.items():
        if name not in stored or tuple(stored[name].dims) != array.shape:
            raise ValueError(f"the weights {name!r} of shape {array.shape} replace none of the model's")
        stored[name].CopyFrom(onnx.numpy_helper.from_array(array, name))
    return changed


def stored_weights(files: VersionFiles) -> dict[str, NDArray[Any]]:
    """Return the weights that a version has learned; none for a version that is one ONNX file."""
    if WEIGHTS not in files.manifest.files:
        return {}
    with np.load(files.path(WEIGHTS), allow_pickle=False) as stored:
        return dict(stored)


def changed(files: VersionFiles, weights: Weights) -> tuple[bytes, dict[str, bytes]]:
    """Return the manifest of the version with these weights, and the files that its parent does not have."""
    buffer = BytesIO()
    np.savez(buffer, **{**stored_weights(files), **weights})
    new = {WEIGHTS: buffer.getvalue()}
    update = {"runtime": RUNTIME, "files": {**files.manifest.files, **listed(new)}}
    return files.manifest.model_copy(update=update).content(), new
