"""What an ONNX file says about itself, and what it gives for a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from app.registry.model_format import check_version, load_error
from app.templates.foreign.notes import unusable
from models.runtimes import Execution
from models.runtimes.onnx import DTYPES


@dataclass(frozen=True)
class TensorFacts:
    """An input or output: its type as ONNX Runtime names it, and its sizes, None where they may vary."""

    name: str
    type: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.type.removeprefix('tensor(').removesuffix(')')} ({sizes})"


@dataclass(frozen=True)
class ModelFile:
    """An opened model."""

    path: Path
    session: onnxruntime.InferenceSession
    inputs: Sequence[TensorFacts]
    outputs: Sequence[TensorFacts]
    metadata: Mapping[str, str]

    @classmethod
    def open(cls, path: Path) -> "ModelFile":
        """Open an ONNX file. Raises `SetupError` if it is none, or if it is not whole."""
        check_version(path)
        try:
            session = Execution(threads=1).open(path)
        except Exception as error:  # ONNX Runtime's have no common base
            raise load_error(error) from error
        metadata = session.get_modelmeta().custom_metadata_map
        return cls(path, session, _facts(session.get_inputs()), _facts(session.get_outputs()), metadata)

    def answer(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Return all outputs for a trial. Raises `SetupError` if the model can't take it."""
        names = [output.name for output in self.outputs]
        try:
            return dict(zip(names, self.session.run(names, dict(feeds)), strict=True))
        except Exception as error:
            shapes = ", ".join(f"{name} {feed.dtype} {feed.shape}" for name, feed in feeds.items())
            raise unusable(
                f"it fails on a trial with {shapes}: {str(error)[:300]}", "Give another --size, or export it anew."
            ) from error

    @property
    def opset(self) -> str:
        """Return the version of ONNX's operators, as far as the package onnx is here to read it."""
        try:
            import onnx
        except ImportError:
            return "unknown"
        opsets = onnx.load(self.path, load_external_data=False).opset_import
        return ", ".join(f"{entry.domain} {entry.version}".strip() for entry in opsets)

    def check_inputs(self) -> None:
        """Raise `SetupError` for an input of text, or of several events at once."""
        for tensor in self.inputs:
            if tensor.type not in DTYPES:
                raise unusable(
                    f"its input {tensor.name} is of type {tensor.type}",
                    "Encode such columns before the model, and export what comes after.",
                )
            if tensor.shape and (tensor.shape[0] or 1) != 1:
                raise unusable(
                    f"it takes batches of {tensor.shape[0]} only", "Export it with a free first dimension, or one of 1."
                )

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.inputs))} -> {', '.join(map(str, self.outputs))}"


def _facts(tensors: Sequence[Any]) -> list[TensorFacts]:
    return [
        TensorFacts(tensor.name, tensor.type, tuple(size if isinstance(size, int) else None for size in tensor.shape))
        for tensor in tensors
    ]
