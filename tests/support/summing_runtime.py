"""A version of two files, served by a runtime of its own: the sum of the letters, times a factor, plus an offset."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.manifest import Manifest, VersionFiles, listed, write_version
from models.runtimes import Execution, Runtime, TensorSpec


class SummingRuntime(Runtime):
    """Takes `letters`, as the task of this name, and returns `sum`."""

    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        self._factor, self._offset = (json.loads(files.path(name).read_text()) for name in ("factor", "offset"))
        self.inputs = {"letters": TensorSpec(np.dtype(np.uint8), (None, None))}
        self.outputs = {"sum": TensorSpec(np.dtype(np.float32), (None,))}

    def run(self, feeds: Any) -> dict[str, NDArray[Any]]:
        total = feeds["letters"].astype(np.float32).sum(axis=1)
        return {"sum": total * np.float32(self._factor) + np.float32(self._offset)}


def summing_version(directory: Path, factor: float = 1, offset: float = 0) -> Path:
    """Write a version of two files; return its path."""
    files = {"factor": json.dumps(factor).encode(), "offset": json.dumps(offset).encode()}
    manifest = Manifest(runtime="tests.support.summing_runtime:SummingRuntime", files=listed(files), licence="CC0-1.0")
    return write_version(directory, manifest.content(), files, None)
