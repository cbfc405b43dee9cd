"""Models to register."""

from pathlib import Path

import onnx

from app.settings import CHECKOUT


def letters_model(folder: Path, about: str) -> Path:
    """A model for `letters` that no one else has registered: a version is known by its file's content."""
    model = onnx.load(CHECKOUT / "tests/support/versions/1/model.onnx")
    model.doc_string = about
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path
