"""A version opened in this process instead of in MLServer: predictions without a platform, by the same predictor."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from app.errors import RequestRefused
from app.events.base import ModelRef
from models.runtimes import open_version


class LocalModel:
    """One version: an `app.inference.predictor.InferenceBackend` that ignores which version a call names."""

    def __init__(self, path: Path) -> None:
        """Open a `model.onnx` or `manifest.json`. Raises as `models.runtimes.open_version`."""
        self._version = open_version(path)
        self.inputs = self._version.inputs

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the model's outputs for a batch of named tensors. Raises RequestRefused if the model can't take it."""
        try:
            return await asyncio.to_thread(self._version.run, batch)
        except Exception as error:  # a runtime's exceptions have no common base
            raise RequestRefused(f"{model.name} {model.version}: {error}") from error
