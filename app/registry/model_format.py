"""What the files of a version are, and why they can't be opened."""

import re
from pathlib import Path

import onnxruntime as ort

from app.errors import SetupError
from models.manifest import MANIFEST, VersionFiles
from models.runtimes.onnx import UnsupportedType

_EXTERNAL_DATA = b"\x0a\x08location\x12"
"""The mark of a tensor with external data in an ONNX file: a `StringStringEntryProto` with the key `location`."""
OUT_OF_MEMORY, SMALLER = "The model needs more memory than a model may.", "Export a smaller model."
_CPP_SOURCE = re.compile(r"/onnxruntime_src/\S+ .*?\) (?=[A-Z])")
"""The place in ONNX Runtime's source that its messages begin with."""
_EXPORT = "Export it to ONNX, such as by torch.onnx.export, tf2onnx or skl2onnx, as one file."
_FOREIGN_FORMATS = {
    b"PK\x03\x04": "a ZIP archive, as PyTorch and Keras save models; unpack it if there is an ONNX file in it",
    b"\x80": "a Python pickle",
    b"\x89HDF": "an HDF5 file, as Keras saves models",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"version https://git-lfs": "a pointer of Git LFS: run `git lfs pull`",
    b"GGUF": "a GGUF file",
}
"""What a file is that begins with these bytes. An ONNX file begins with 0x08, the tag of its IR version."""


def check_version(path: Path) -> None:
    """Raise `SetupError` unless the path leads to one whole ONNX file, or to a manifest and all its files."""
    if path.is_dir():
        raise SetupError(f"{path} is a directory, as TensorFlow saves models (SavedModel).", _EXPORT)
    if path.name != MANIFEST:
        _check_format(path.read_bytes())
        return
    try:
        VersionFiles.of(path).verify()
    except ValueError as error:
        raise SetupError(f"{error}.", "Write the names, sha256 and sizes of the files beside it into it.") from error


def _check_format(model: bytes) -> None:
    """Raise `SetupError` if this is not the content of one whole ONNX file."""
    if not model:
        raise SetupError("The model's file is empty.", _EXPORT)
    if model[4:8] == b"TFL3":
        raise SetupError("The model is not an ONNX file, but one of TensorFlow Lite.", _EXPORT)
    for mark, format in _FOREIGN_FORMATS.items():
        if model.startswith(mark):
            raise SetupError(f"The model is not an ONNX file, but {format}.", _EXPORT)
    if _EXTERNAL_DATA in model:  # ONNX Runtime would read it from the current directory, which MLServer does not have
        raise SetupError(
            "The model is not complete: its weights are in another file.",
            "Save it as one file: onnx.save(onnx.load('model.onnx'), 'whole.onnx').",
        )


def load_error(error: Exception) -> SetupError:
    """Return the error for a model that ONNX Runtime could not load."""
    text = _CPP_SOURCE.sub("", str(error))
    remedy = _EXPORT
    if out_of_memory := memory_error(error):
        return out_of_memory
    if isinstance(error, UnsupportedType):
        return SetupError(
            f"The tensor {error.tensor} is of type {error.kind}, which can't be sent.",
            "Export it without it, or as a tensor of float32 (skl2onnx: options={'zipmap': False}).",
        )
    if "Protobuf parsing failed" in text:
        return SetupError("The model is not an ONNX file, or it is cut off or damaged.", _EXPORT)
    if "IR version" in text or "Opset" in text:
        remedy = (
            f"Export it for ONNX Runtime {ort.__version__}, as by torch.onnx.export(opset_version=17), or convert it: "
            "onnx.version_converter.convert_version(model, 17), model.ir_version = 10."
        )
    elif "is not a registered function/op" in text or "custom op" in text.lower():
        remedy = "Export it without operators of another library."
    return SetupError(f"ONNX Runtime can't load the model: {text.strip()}.", remedy)


def memory_error(error: Exception) -> SetupError | None:
    """Return the error for a model that ONNX Runtime has no memory for; None if that is not the reason."""
    if any(mark in str(error) for mark in ("Failed to allocate", "bad_alloc", "bad allocation")):
        return SetupError(OUT_OF_MEMORY, SMALLER)
    return None
