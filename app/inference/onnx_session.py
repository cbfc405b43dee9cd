"""Sessions of ONNX Runtime, opened in the same way for MLServer, for evaluations and for the trial of a model."""

from pathlib import Path

import onnxruntime as ort

DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}".upper() for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""The types of tensors that can be sent: ONNX Runtime's names, and those of the Open Inference Protocol."""


def open_session(path: Path, threads: int = 0) -> ort.InferenceSession:
    """Return a session with this number of threads; 0 is one per core.

    Idle threads sleep, because they share the cores with the broker, Flink and the worker.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
