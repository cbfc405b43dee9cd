"""Runtimes: what opens a version's files and answers batches, in MLServer, in evaluations and in trainings alike."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.manifest import VersionFiles

log = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """The type and the shape of an input or output; None is a dimension that may vary, such as the batch, the first."""

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Execution:
    """How ONNX Runtime shall run a model."""

    threads: int = 0
    """Threads of each session; 0 is one per core."""
    providers: Sequence[str] = (CPU,)
    """Execution providers in the order of preference. Those that are not here are left out; the CPU is the last."""

    def open(self, model: Path, adapter: Path | None = None) -> onnxruntime.InferenceSession:
        """Return a session of an ONNX (or ORT) file, some of whose weights an adapter replaces.

        An adapter is a file of named weights in ONNX Runtime's format (`onnxruntime.AdapterFormat`). Idle threads
        sleep, because they share the cores with the broker, Flink and the worker.
        """
        available = onnxruntime.get_available_providers()
        if missing := [name for name in self.providers if name not in available]:
            log.warning("ONNX Runtime has no %s here, only %s", ", ".join(missing), ", ".join(available))
        chosen = [name for name in self.providers if name in available and name != CPU] + [CPU]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if adapter is None:
            return onnxruntime.InferenceSession(model, options, providers=chosen)
        replaced = onnxruntime.AdapterFormat.read_adapter(str(adapter)).get_parameters()
        for name, value in replaced.items():
            options.add_initializer(name, value)
        session = onnxruntime.InferenceSession(model, options, providers=chosen)
        session.replaced_weights = replaced  # they must live as long as the session, which does not own them
        return session


class Runtime(ABC):
    """An opened version: a function of named tensors, with the batch in the first dimension of each.

    Several threads may call `run` at once. What it returns for an event depends on this event alone, up to rounding;
    outputs whose size depends on the event are padded with zeros to the batch's largest.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @abstractmethod
    def __init__(self, files: VersionFiles, execution: Execution) -> None:
        """Open the files."""

    @abstractmethod
    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Return all outputs for a batch. Raises any exception if the model can't take it."""
