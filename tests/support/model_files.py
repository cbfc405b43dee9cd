"""Models to register."""

from pathlib import Path

import onnx

from app.settings import CHECKOUT


def write_letters_model(folder: Path, description: str) -> Path:
    """A model for `letters` that no one else has registered: a version is known by its file's content."""
    model = onnx.load(CHECKOUT / "tests/support/versions/1/model.onnx")
    model.doc_string = description
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path
