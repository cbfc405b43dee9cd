"""The client of MLServer: the Open Inference Protocol (v2) over gRPC, with raw tensors in both directions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from app import tracing
from app.errors import RequestRefused, Unavailable
from app.events.base import ModelRef
from app.inference.mlserver import token
from app.inference.mlserver.protocol import DATATYPES, DTYPES, InferenceStub, pb
from app.inference.mlserver.repository import entry_name
from app.settings import Settings

_TRANSIENT_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}
_HEALTH_SECONDS = 2.0
_POLL_SECONDS = 0.1
"""Interval at which `wait` asks for a version that is being loaded."""


class InferenceClient:
    """Calls one MLServer, with its token. Use as an async context manager. Raises SetupError if there is no token."""

    def __init__(self, settings: Settings) -> None:
        self._address = f"{settings.host_of('mlserver')}:{settings.mlserver_grpc_port}"
        self._deadline = settings.inference_deadline_seconds
        # The size of payloads is bounded where they enter; a second bound here would only contradict the first.
        unbounded = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        quick = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000)]
        self._channel = grpc.aio.insecure_channel(self._address, options=unbounded + quick)
        self._metadata = tuple(token.auth_headers(token.load_or_create(settings)).items())
        self._stub = InferenceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def infer(self, model: ModelRef, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the model's outputs for a batch of named tensors, the batch in the first dimension.

        Raises Unavailable if waiting may help (MLServer or the model is not there), RequestRefused if it will not.
        """
        arrays = {name: np.ascontiguousarray(array, array.dtype.newbyteorder("<")) for name, array in batch.items()}
        for name, array in arrays.items():
            if array.dtype not in DATATYPES:
                raise RequestRefused(f"input {name!r} is of {array.dtype}; one of {', '.join(DTYPES)} is needed")
        request = pb.ModelInferRequest(
            model_name=entry_name(model),
            model_version=model.version,
            inputs=[
                pb.ModelInferRequest.InferInputTensor(name=name, datatype=DATATYPES[array.dtype], shape=array.shape)
                for name, array in arrays.items()
            ],
            raw_input_contents=[array.tobytes() for array in arrays.values()],
        )
        trace = tracing.current_traceparent()
        metadata = (*self._metadata, (tracing.TRACEPARENT_HEADER, trace)) if trace else self._metadata
        try:
            response = await self._stub.model_infer(request, timeout=self._deadline, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            message = self._error_message(error)
            if error.code() in _TRANSIENT_CODES or not await self.serves(model):
                raise Unavailable(message) from error
            raise RequestRefused(message) from error
        return {
            tensor.name: np.frombuffer(raw, DTYPES[tensor.datatype]).reshape(tensor.shape)
            for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }

    async def serves(self, model: ModelRef) -> bool:
        """Return whether MLServer answers and has this version ready."""
        try:
            request = pb.ModelReadyRequest(name=entry_name(model), version=model.version)
            answer = await self._stub.model_ready(request, timeout=_HEALTH_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.ready)

    async def wait(self, model: ModelRef) -> None:
        """Return once MLServer serves this version."""
        while not await self.serves(model):
            await asyncio.sleep(_POLL_SECONDS)

    async def load(self, model: ModelRef) -> None:
        """Make MLServer load a version from its repository. Raises Unavailable with the reason if it does not."""
        await self._call_repository(
            self._stub.repository_model_load, pb.RepositoryModelLoadRequest(model_name=entry_name(model))
        )

    async def unload(self, model: ModelRef) -> None:
        """Make MLServer unload a version. Raises Unavailable with the reason if it does not."""
        request = pb.RepositoryModelUnloadRequest(model_name=entry_name(model))
        await self._call_repository(self._stub.repository_model_unload, request)

    async def _call_repository(self, call: Callable[..., Awaitable[Any]], request: Any) -> None:
        try:
            await call(request, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise Unavailable(self._error_message(error)) from error

    def _error_message(self, error: grpc.aio.AioRpcError) -> str:
        return f"MLServer at {self._address}: {error.code().name}: {error.details()}"
