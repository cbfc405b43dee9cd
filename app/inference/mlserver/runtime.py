"""An ONNX Runtime runtime for MLServer: batches in the first dimension, raw tensors, long calls off the event loop."""

import asyncio
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
from app.inference.mlserver import protocol, tensor_codec
from app.inference.onnx_session import DATATYPES, open_session
from app.settings import settings

# MLServer imports this module when it loads a model, so every server that uses the runtime gets the codec.
tensor_codec.install()


MAX_BLOCKING_SECONDS = 0.002
"""A call that should take less runs on the event loop: two switches of threads would cost as much as a small model."""


class OnnxRuntime(MLModel):  # type: ignore[misc]  # mlserver has no types
    """One version of a model. `parameters.extra` has the session's number of `threads` (0: one per core)."""

    async def load(self) -> bool:
        """Open the session and take the model's metadata from its signature."""
        path = await get_model_uri(self._settings, wellknown_filenames=["model.onnx"])
        extra = (self._settings.parameters and self._settings.parameters.extra) or {}
        self._session = await asyncio.to_thread(open_session, Path(path), int(extra.get("threads", 0)))
        self._settings.inputs = [_to_metadata(tensor) for tensor in self._session.get_inputs()]
        self._settings.outputs = [_to_metadata(tensor) for tensor in self._session.get_outputs()]
        self._dtypes = {tensor.name: protocol.DTYPES[tensor.datatype] for tensor in self._settings.inputs}
        self._names = [tensor.name for tensor in self._session.get_outputs()]
        self._seconds_per_item = math.inf
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the model's outputs for a batch. Raises InferenceError if the model can't take the request."""
        feeds = {tensor.name: self._feed(tensor) for tensor in payload.inputs}
        output_names = [output.name for output in payload.outputs or []] or self._names
        with self._span(payload):
            outputs = await self._run(output_names, feeds)
        # Inputs as lists (REST, gRPC contents) get lists as outputs; arrays (raw contents) get arrays.
        raw = all(isinstance(tensor.data.root, np.ndarray) for tensor in payload.inputs)
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[_to_output(name, array, raw) for name, array in zip(output_names, outputs, strict=True)],
        )

    async def _run(self, output_names: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        size = max((len(feed) for feed in feeds.values() if feed.ndim), default=1)
        try:
            if size * self._seconds_per_item < MAX_BLOCKING_SECONDS:
                return self._run_timed(output_names, feeds, size)
            # ONNX Runtime releases the GIL while it runs: the server stays responsive, and two batches use two cores.
            return await asyncio.to_thread(self._run_timed, output_names, feeds, size)
        except Exception as error:
            raise InferenceError(f"model {self.name}: {error}") from error

    def _run_timed(self, output_names: list[str], feeds: dict[str, NDArray[Any]], size: int) -> list[NDArray[Any]]:
        started = time.perf_counter()
        outputs: list[NDArray[Any]] = self._session.run(output_names, feeds)
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


def _to_metadata(tensor: Any) -> MetadataTensor:
    shape = [size if isinstance(size, int) else -1 for size in tensor.shape]
    return MetadataTensor(name=tensor.name, datatype=DATATYPES[tensor.type], shape=shape)


def _to_output(name: str, array: NDArray[Any], raw: bool) -> ResponseOutput:
    return ResponseOutput.model_construct(
        name=name,
        shape=list(array.shape),
        datatype=protocol.DATATYPES[array.dtype.newbyteorder("<")],
        parameters=None,
        data=TensorData.model_construct(root=array if raw else array.ravel().tolist()),
    )
