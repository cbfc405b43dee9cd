"""ONNX Runtime in this process instead of MLServer: predictions without a platform, through the same predictor."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from app.errors import RequestRefused
from app.events.base import ModelRef


class LocalModel:
    """One `model.onnx`: an `app.inference.predictor.InferenceBackend` that ignores which version a call names."""

    def __init__(self, path: Path) -> None:
        self._session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the model's outputs for a batch of named tensors. Raises RequestRefused if the model can't take it."""
        try:
            outputs = await asyncio.to_thread(self._session.run, self._names, dict(batch))
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise RequestRefused(f"{model.name} {model.version}: {error}") from error
        return dict(zip(self._names, outputs, strict=True))
