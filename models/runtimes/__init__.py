"""Open a version: by the runtime that its manifest names."""

from pathlib import Path

from models.entry_points import load
from models.manifest import ONNX_RUNTIME, VersionFiles
from models.runtimes.base import Execution, Runtime, TensorSpec
from models.runtimes.onnx import OnnxModel

__all__ = ["Execution", "Runtime", "TensorSpec", "open_version"]


def open_version(path: Path, execution: Execution = Execution()) -> Runtime:  # noqa: B008  # it is frozen
    """Open the version at `path`, a `model.onnx` or a `manifest.json`.

    Raises `ValueError` for an invalid manifest, and whatever the runtime raises for files that it can't open.
    """
    files = VersionFiles.of(path)
    return runtime_class(files.manifest.runtime)(files, execution)


def runtime_class(name: str) -> type[Runtime]:
    """Return the runtime of this name. Raises `ValueError` if there is none."""
    if name == ONNX_RUNTIME:
        return OnnxModel
    try:
        found = load(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"the runtime {name!r} can't be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Runtime)):
        raise ValueError(f"{name!r} is not a models.runtimes.Runtime")
    return found
