"""A version whose manifest names a runtime of MLServer, such as `mlserver_lightgbm:LightGBMModel`.

MLServer's own class opens the first file and answers, here as in the process `mlserver`: so such a version is served,
registered and evaluated as all others are.
"""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import numpy as np
from mlserver import ModelSettings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, RequestOutput
from numpy.typing import NDArray

from app.inference.mlserver.protocol import DTYPES
from models.entry_points import load
from models.manifest import Tensor, VersionFiles
from models.runtimes import Execution, Runtime, TensorSpec

SAFE_RUNTIMES = ("mlserver_lightgbm:LightGBMModel", "mlserver_xgboost:XGBoostModel")
"""Those that open a format of data only. Others open pickles, which are programs (mlserver-sklearn, -mlflow)."""

Answer = TypeVar("Answer")


class AdoptedRuntime(Runtime):
    """A runtime of MLServer. What it takes and gives is in the manifest, for such runtimes don't tell."""

    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        """Open the first file. Raises `ValueError` for a runtime that may not be used, and whatever it raises."""
        manifest = files.manifest
        if manifest.runtime not in SAFE_RUNTIMES:
            raise ValueError(
                f"the runtime {manifest.runtime!r} may open a pickle, which can run any code: of MLServer's only "
                f"{' and '.join(SAFE_RUNTIMES)} are used. Export the model to ONNX, such as by skl2onnx"
            )
        if not (manifest.inputs and manifest.outputs):
            raise ValueError(f"the manifest must name the inputs and outputs: {manifest.runtime} does not tell them")
        self.inputs, self.outputs = _specs(manifest.inputs), _specs(manifest.outputs)
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, name="adopted-runtime", daemon=True).start()
        self._model = load(manifest.runtime)(_settings(load(manifest.runtime), files))
        self._wait(self._model.load())

    def run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:  # type: ignore[override]
        """Return all outputs for a batch."""
        inputs = [NumpyCodec.encode_input(name, feed) for name, feed in feeds.items()]
        outputs = [RequestOutput(name=name) for name in self.outputs]
        response = self._wait(self._model.predict(InferenceRequest(inputs=inputs, outputs=outputs)))
        arrays = {output.name: NumpyCodec.decode_output(output) for output in response.outputs}
        return {name: np.asarray(arrays[name], spec.dtype) for name, spec in self.outputs.items()}

    def _wait(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        """Return what a coroutine returns; callers may be in an event loop of their own."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()


def _settings(implementation: type, files: VersionFiles) -> ModelSettings:
    path = files.path(next(iter(files.manifest.files)))
    parameters = ModelParameters(uri=str(Path(path).resolve()), extra=dict(files.manifest.options))
    return ModelSettings(name="adopted", implementation=implementation, parameters=parameters)


def _specs(tensors: dict[str, Tensor]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(DTYPES[tensor.datatype], tuple(None if size < 0 else size for size in tensor.shape))
        for name, tensor in tensors.items()
    }
