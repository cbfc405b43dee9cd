"""ONNX Runtime in this process instead of MLServer: predictions without a platform, through the same predictor."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from app.errors import RequestRefused
from app.events.base import ModelRef
from app.inference.onnx_session import open_session


class LocalModel:
    """One `model.onnx`: an `app.inference.predictor.InferenceBackend` that ignores which version a call names."""

    def __init__(self, path: Path) -> None:
        self._session = open_session(path)
        self.input_shapes: dict[str, list[int | str | None]] = {
            tensor.name: tensor.shape for tensor in self._session.get_inputs()
        }
        """The declared size of each dimension of each input: a number, or a name or None where it may vary."""
        self.output_types: dict[str, str] = {tensor.name: tensor.type for tensor in self._session.get_outputs()}
        """ONNX Runtime's name of the type of each output, such as `tensor(float)`."""
        self._names = list(self.output_types)

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the model's outputs for a batch of named tensors. Raises RequestRefused if the model can't take it."""
        try:
            outputs = await asyncio.to_thread(self._session.run, self._names, dict(batch))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise RequestRefused(f"{model.name} {model.version}: {error}") from error
        return dict(zip(self._names, outputs, strict=True))
