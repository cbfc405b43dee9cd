"""Registering a version that was trained anywhere: checked, kept in blob storage, and said on `lifecycle`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import onnxruntime as ort

from app.errors import SetupError
from app.events.base import ModelRef
from app.events.model_events import ModelRegistered
from app.registry.changes import RegistryWriter
from app.registry.registry import ModelVersion, TaskModels
from app.settings import MiB, Settings
from app.storage.blobs import BlobStore
from models.base import Rejected, Task

MAX_CARD_BYTES = MiB // 2
"""The largest card: it goes through Kafka."""

_EXTERNAL_DATA = b"\x0a\x08location\x12"
"""How an ONNX file says where a tensor's external data is: `StringStringEntryProto`, its key `location`."""

Signature = dict[str, tuple[str, int]]
"""Of each tensor by its name: the type and the number of dimensions."""


@dataclass(frozen=True)
class Provenance:
    """Where a version comes from, as `ModelRegistered` says it."""

    actor: str
    parent: str | None = None
    dataset: str | None = None
    run_id: str | None = None
    code: str | None = None


async def register(
    settings: Settings,
    task: Task,
    changes: RegistryWriter,
    blobs: BlobStore,
    model: bytes,
    card: Mapping[str, Any],
    provenance: Provenance,
) -> ModelVersion:
    """The version that the model has now; a model that is registered already keeps its own.

    Raises `SetupError` for one that can't serve the task, OSError while the storage is away, KafkaError.
    """
    if len(json.dumps(card).encode()) > MAX_CARD_BYTES:
        raise SetupError(
            f"The card is larger than {MAX_CARD_BYTES // 1024} KiB.", "Leave out what is not about the model."
        )
    if len(model) > settings.max_blob_bytes:
        raise SetupError(
            f"The model has {len(model)} bytes; at most {settings.max_blob_bytes} are read.",
            "Raise HINDSIGHT_MAX_BLOB_BYTES.",
        )
    found = read_signature(model)
    artifact = blobs.put(model)

    def decide(models: TaskModels) -> ModelRegistered | None:
        if _find_artifact(models, artifact) is not None:
            return None
        if provenance.parent is not None:
            models.version(provenance.parent)
        if models.versions:
            _check_signature(found, models.newest, blobs, settings)
        number = str(1 + max(map(int, models.versions), default=0))
        return ModelRegistered(
            task=task.name,
            model=ModelRef(name=task.name, version=number),
            artifact=artifact,
            card=dict(card),
            preprocess_version=task.preprocess_version,
            **asdict(provenance),
        )

    version = _find_artifact(await changes.commit(decide), artifact)
    assert version is not None
    return version


def _find_artifact(models: TaskModels, artifact: str) -> ModelVersion | None:
    return next((one for one in models.registered.values() if one.artifact == artifact), None)


def _check_signature(found: Signature, newest: ModelVersion, blobs: BlobStore, settings: Settings) -> None:
    try:
        needed = read_signature(newest.read_model(blobs, settings))
    except Rejected as error:
        raise SetupError(f"Version {newest.number}, to compare with, can't be read: {error}.", "Restore it.") from error
    if found != needed:
        raise SetupError(
            f"The model does not take and give what version {newest.number} does: "
            f"it has {_format_signature(found)}; needed is {_format_signature(needed)}.",
            "Export it with these names, types and numbers of dimensions.",
        )


def read_signature(model: bytes) -> Signature:
    """What the model takes and gives. Raises `SetupError` for what ONNX Runtime can't load, or serves only here."""
    if _EXTERNAL_DATA in model:  # ONNX Runtime would read it from the current directory, which MLServer hasn't got
        raise SetupError(
            "The model is not whole: its weights are in another file.",
            "Save it as one: onnx.save(onnx.load('model.onnx'), 'whole.onnx').",
        )
    try:
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise SetupError(f"ONNX Runtime can't load the model: {error}.", "Give an ONNX file.") from error
    sides = {"input": session.get_inputs(), "output": session.get_outputs()}
    return {f"{side} {one.name}": (one.type, len(one.shape)) for side, found in sides.items() for one in found}


def _format_signature(found: Signature) -> str:
    return ", ".join(f"{name} {kind} of {dimensions} dimensions" for name, (kind, dimensions) in found.items())
