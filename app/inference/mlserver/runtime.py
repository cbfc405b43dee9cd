"""A runtime for MLServer: batches in the first dimension, raw tensors, long calls off the event loop."""

import asyncio
import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from mlserver import MLModel
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, RequestInput, ResponseOutput, TensorData
from mlserver.utils import get_model_uri
from numpy.typing import NDArray

from app import tracing
from app.inference.mlserver import protocol, tensor_codec, warm_up
from app.settings import settings
from models.manifest import MANIFEST, MODEL
from models.runtimes import Execution, TensorSpec, open_version

# MLServer imports this module when it loads a model, so every server that uses the runtime gets the codec.
tensor_codec.install()

log = logging.getLogger(__name__)

MAX_BLOCKING_SECONDS = 0.002
"""A call that should take less runs on the event loop: two switches of threads would cost as much as a small model."""


class VersionRuntime(MLModel):  # type: ignore[misc]  # mlserver has no types
    """One version of a model, opened by the runtime of its manifest. `parameters.extra` has an `Execution`'s fields."""

    async def load(self) -> bool:
        """Open the version, take the model's metadata from its signature, and answer the batches of its warm-up.

        Raises whatever the version raises, which then is not ready.
        """
        path = await get_model_uri(self._settings, wellknown_filenames=[MANIFEST, MODEL])
        extra = (self._settings.parameters and self._settings.parameters.extra) or {}
        self._opened = await asyncio.to_thread(open_version, Path(path), Execution(**extra))
        self._settings.inputs = [_to_metadata(*tensor) for tensor in self._opened.inputs.items()]
        self._settings.outputs = [_to_metadata(*tensor) for tensor in self._opened.outputs.items()]
        self._dtypes = {name: _little_endian(spec.dtype) for name, spec in self._opened.inputs.items()}
        self._names = list(self._opened.outputs)
        self._seconds_per_item = math.inf
        await self._warm_up(Path(path).parent)
        return True

    async def _warm_up(self, directory: Path) -> None:
        started = time.perf_counter()
        for batch in (batches := warm_up.read(directory)):
            try:
                await asyncio.to_thread(self._run_timed, batch, 1)
            except Exception as error:
                shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in batch.items())
                raise InferenceError(f"model {self.name}: its warm-up with {shapes} failed: {error}") from error
        seconds = time.perf_counter() - started
        log.info("%s is warm: it answered %d batches in %.2f s", self.name, len(batches), seconds)

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the model's outputs for a batch. Raises InferenceError if the model can't take the request."""
        feeds = {tensor.name: self._feed(tensor) for tensor in payload.inputs}
        output_names = [output.name for output in payload.outputs or []] or self._names
        with self._span(payload):
            outputs = await self._run(feeds)
        # Inputs as lists (REST, gRPC contents) get lists as outputs; arrays (raw contents) get arrays.
        raw = all(isinstance(tensor.data.root, np.ndarray) for tensor in payload.inputs)
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[self._output(name, outputs, raw) for name in output_names],
        )

    async def _run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        size = max((len(feed) for feed in feeds.values() if feed.ndim), default=1)
        try:
            if size * self._seconds_per_item < MAX_BLOCKING_SECONDS:
                return self._run_timed(feeds, size)
            # ONNX Runtime releases the GIL while it runs: the server stays responsive, and two batches use two cores.
            return await asyncio.to_thread(self._run_timed, feeds, size)
        except Exception as error:
            raise InferenceError(f"model {self.name}: {error}") from error

    def _run_timed(self, feeds: dict[str, NDArray[Any]], size: int) -> dict[str, NDArray[Any]]:
        started = time.perf_counter()
        outputs = self._opened.run(feeds)
        self._seconds_per_item = (time.perf_counter() - started) / max(1, size)
        return outputs

    def _span(self, payload: InferenceRequest) -> AbstractContextManager[Any]:
        """Return the span of this call; an empty context without a `traceparent` header or without tracing."""
        headers: dict[str, str] = (payload.parameters and payload.parameters.headers) or {}
        traces = tracing.get_tracing(settings(), "mlserver")
        if traces is None or tracing.TRACEPARENT_HEADER not in headers:
            return nullcontext()
        size = payload.inputs[0].shape[0] if payload.inputs else 0
        attributes = {"hindsight.model": self.name, "hindsight.version": self.version, "hindsight.batch_size": size}
        return traces.span("model", headers[tracing.TRACEPARENT_HEADER], attributes)

    def _feed(self, tensor: RequestInput) -> NDArray[Any]:
        dtype = self._dtypes.get(tensor.name)
        if dtype is None:
            raise InferenceError(f"model {self.name} has no input {tensor.name!r}; it has {', '.join(self._dtypes)}")
        if tensor_codec.dtype_of(tensor) != dtype:
            raise InferenceError(
                f"input {tensor.name!r} is of {tensor.datatype}; model {self.name} takes {protocol.DATATYPES[dtype]}"
            )
        return np.asarray(tensor.data.root, dtype).reshape(tensor.shape)

    def _output(self, name: str, outputs: dict[str, NDArray[Any]], raw: bool) -> ResponseOutput:
        if name not in outputs:
            raise InferenceError(f"model {self.name} has no output {name!r}; it has {', '.join(self._names)}")
        array = outputs[name]
        return ResponseOutput.model_construct(
            name=name,
            shape=list(array.shape),
            datatype=protocol.DATATYPES[_little_endian(array.dtype)],
            parameters=None,
            data=TensorData.model_construct(root=array if raw else array.ravel().tolist()),
        )


def _to_metadata(name: str, spec: TensorSpec) -> MetadataTensor:
    shape = [-1 if size is None else size for size in spec.shape]
    return MetadataTensor(name=name, datatype=protocol.DATATYPES[_little_endian(spec.dtype)], shape=shape)


def _little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("<")
