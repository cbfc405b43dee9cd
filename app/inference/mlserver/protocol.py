"""The Open Inference Protocol (v2) over gRPC: MLServer's own messages, without the rest of MLServer.

`import mlserver` imports its servers, pandas and OpenTelemetry: 1.8 s of CPU time and 80 MiB of each client, such as
the worker, and of each command that predicts.
"""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import numpy as np

_MESSAGES = "mlserver.grpc.dataplane_pb2"
_SERVICE = "inference.GRPCInferenceService"

DTYPES = {
    "BOOL": np.dtype("bool"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}


def _load_messages() -> ModuleType:
    """Return the module of the messages. It needs nothing of its package, which is found, but not imported."""
    if _MESSAGES not in sys.modules:
        package = find_spec("mlserver")
        assert package is not None
        assert package.submodule_search_locations is not None
        path = Path(package.submodule_search_locations[0]) / "grpc" / "dataplane_pb2.py"
        spec = spec_from_file_location(_MESSAGES, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[_MESSAGES] = module_from_spec(spec)  # MLServer itself, if it is imported later, uses it too
        spec.loader.exec_module(sys.modules[_MESSAGES])
    return sys.modules[_MESSAGES]


pb: Any = _load_messages()


class InferenceStub:
    """The calls of the protocol that Hindsight makes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def method(name: str) -> Any:
            request, response = getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response")
            return channel.unary_unary(
                f"/{_SERVICE}/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )

        self.model_infer = method("ModelInfer")
        self.model_ready = method("ModelReady")
        self.repository_model_load = method("RepositoryModelLoad")
        self.repository_model_unload = method("RepositoryModelUnload")
