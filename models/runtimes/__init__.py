"""Open a version: by the runtime that its manifest names."""

from pathlib import Path

from models.entry_points import load
from models.manifest import ONNX_RUNTIME, VersionFiles
from models.runtimes.base import Execution, Runtime, TensorSpec
from models.runtimes.onnx import OnnxModel

ADOPTED_RUNTIME = "app.inference.mlserver.adopted:AdoptedRuntime"
"""What opens a version whose manifest names a runtime of MLServer: by name, for models import no MLServer."""

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
    if isinstance(found, type) and any(base.__module__.split(".")[0] == "mlserver" for base in found.__mro__):
        found = load(ADOPTED_RUNTIME)
    if not (isinstance(found, type) and issubclass(found, Runtime)):
        raise ValueError(f"{name!r} is not a models.runtimes.Runtime")
    return found
