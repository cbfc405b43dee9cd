"""ONNX files to register as versions."""

from pathlib import Path

import onnx

from app.settings import CHECKOUT


def write_letters_model(folder: Path, description: str) -> Path:
    """Write a new model of `letters`: a version is identified by the content of its file."""
    model = onnx.load(CHECKOUT / "tests/support/versions/1/model.onnx")
    model.doc_string = description
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path
