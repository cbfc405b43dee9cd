"""MLServer's runtime for ONNX Runtime: the batch in the first dimension, raw tensors, runs off the event loop."""

import asyncio
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, RequestInput, ResponseOutput, TensorData
from mlserver.utils import get_model_uri
from numpy.typing import NDArray

from app import tracing
from app.inference.mlserver import tensor_codec
from app.settings import settings

# Loading this runtime is what makes a server one of ours: wherever MLServer runs, arrays come with it.
tensor_codec.install()

_ONNX_TYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(float16)": "FP16", "tensor(bool)": "BOOL"}


def _datatype(onnx_type: str) -> str:
    return _ONNX_TYPES.get(onnx_type) or onnx_type.removeprefix("tensor(").removesuffix(")").upper()


class OnnxRuntime(MLModel):  # type: ignore[misc]  # mlserver has no types
    """One version of a model. Settings in `parameters.extra`: `threads` of the session (0: one for each core)."""

    async def load(self) -> bool:
        """Open the session; its own signature becomes the model's metadata."""
        path = await get_model_uri(self._settings, wellknown_filenames=["model.onnx"])
        extra = (self._settings.parameters and self._settings.parameters.extra) or {}
        self._session = await asyncio.to_thread(_open_session, Path(path), int(extra.get("threads", 0)))
        self._settings.inputs = [_to_metadata(tensor) for tensor in self._session.get_inputs()]
        self._settings.outputs = [_to_metadata(tensor) for tensor in self._session.get_outputs()]
        self._dtypes = {tensor.name: tensor_codec.DTYPES[tensor.datatype] for tensor in self._settings.inputs}
        self._names = [tensor.name for tensor in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The model's outputs for a batch. A request that the model can't take is an InferenceError."""
        feeds = {tensor.name: self._feed(tensor) for tensor in payload.inputs}
        wanted = [output.name for output in payload.outputs or []] or self._names
        with self._span(payload):
            outputs = await self._run(wanted, feeds)
        # Lists answer lists, for they came by REST or as gRPC contents; arrays came, and go, as raw contents.
        raw = all(isinstance(tensor.data.root, np.ndarray) for tensor in payload.inputs)
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[_to_output(name, array, raw) for name, array in zip(wanted, outputs, strict=True)],
        )

    async def _run(self, wanted: list[str], feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            # ONNX Runtime lets go of the GIL while it runs: the server stays responsive, two batches use two cores.
            found: list[NDArray[Any]] = await asyncio.to_thread(self._session.run, wanted, feeds)
        except Exception as error:
            raise InferenceError(f"model {self.name}: {error}") from error
        return found

    def _span(self, payload: InferenceRequest) -> AbstractContextManager[Any]:
        """Of this call, where it says what it is part of and somebody wants to know."""
        headers: dict[str, str] = (payload.parameters and payload.parameters.headers) or {}
        found = tracing.get_tracing(settings(), "mlserver")
        if found is None or tracing.TRACEPARENT_HEADER not in headers:
            return nullcontext()
        size = payload.inputs[0].shape[0] if payload.inputs else 0
        model = {"hindsight.model": self.name, "hindsight.version": self.version, "hindsight.batch_size": size}
        return found.span("model", headers[tracing.TRACEPARENT_HEADER], model)

    def _feed(self, tensor: RequestInput) -> NDArray[Any]:
        dtype = self._dtypes.get(tensor.name)
        if dtype is None:
            raise InferenceError(f"model {self.name} has no input {tensor.name!r}; it has {', '.join(self._dtypes)}")
        if tensor_codec.dtype_of(tensor) != dtype:
            raise InferenceError(
                f"input {tensor.name!r} is of {tensor.datatype}; "
                f"model {self.name} takes {tensor_codec.DATATYPES[dtype]}"
            )
        return np.asarray(tensor.data.root, dtype).reshape(tensor.shape)


def _open_session(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads sleep: they share these cores with the broker, Flink and the worker.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _to_metadata(tensor: Any) -> MetadataTensor:
    shape = [size if isinstance(size, int) else -1 for size in tensor.shape]
    return MetadataTensor(name=tensor.name, datatype=_datatype(tensor.type), shape=shape)


def _to_output(name: str, array: NDArray[Any], raw: bool) -> ResponseOutput:
    return ResponseOutput.model_construct(
        name=name,
        shape=list(array.shape),
        datatype=tensor_codec.DATATYPES[array.dtype.newbyteorder("<")],
        parameters=None,
        data=TensorData.model_construct(root=array if raw else array.ravel().tolist()),
    )
