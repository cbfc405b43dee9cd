"""What a model's file is, and why ONNX Runtime can't load it."""

import onnxruntime as ort

from app.errors import SetupError

_EXTERNAL_DATA = b"\x0a\x08location\x12"
"""The mark of a tensor with external data in an ONNX file: a `StringStringEntryProto` with the key `location`."""
_EXPORT = "Export it to ONNX, such as by torch.onnx.export, tf2onnx or skl2onnx, as one file."
_FOREIGN_FORMATS = {
    b"PK\x03\x04": "a ZIP archive, as PyTorch and Keras save models",
    b"\x80": "a Python pickle",
    b"\x89HDF": "an HDF5 file, as Keras saves models",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
}
"""What a file is that begins with these bytes. An ONNX file begins with 0x08, the tag of its IR version."""


def check_format(model: bytes) -> None:
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
    remedy = _EXPORT
    if "IR version" in str(error) or "opset" in str(error):
        remedy = f"Export it for ONNX Runtime {ort.__version__}, as by torch.onnx.export(opset_version=17)."
    elif "is not a registered function/op" in str(error) or "custom op" in str(error).lower():
        remedy = "Export it without operators of another library."
    return SetupError(f"ONNX Runtime can't load the model: {error}.", remedy)
