"""Registration of a version: check it, store its files in blob storage, and publish it on `lifecycle`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.events.base import ModelRef
from app.events.model_events import ModelCardReplaced, ModelRegistered
from app.registry.artifacts import fetch_model
from app.registry.cards import DRIFT_REFERENCE
from app.registry.changes import RegistryWriter
from app.registry.model_format import check_version, load_error
from app.registry.registry import ModelVersion, TaskModels
from app.registry.version_files import store_version
from app.settings import MiB, Settings
from app.storage.blobs import BlobStore
from models.base import Task
from models.manifest import largest_bytes
from models.runtimes import TensorSpec, open_version

MAX_CARD_BYTES = MiB // 2
"""Maximum size of a card, which goes through Kafka."""

Signature = dict[str, tuple[str, int]]
"""The type and the number of dimensions of each tensor, by name."""


@dataclass(frozen=True)
class Provenance:
    """The origin of a version, as in `ModelRegistered`."""

    actor: str
    parent: str | None = None
    dataset: str | None = None
    run_id: str | None = None
    code: str | None = None
    candidate: str | None = None


async def register(
    settings: Settings,
    task: Task,
    changes: RegistryWriter,
    blobs: BlobStore,
    path: Path,
    card: Mapping[str, Any],
    provenance: Provenance,
) -> ModelVersion:
    """Register the model at a path, a `model.onnx` or a `manifest.json`; return its version.

    A model that is registered already keeps its version.

    Outside of a retraining run, such a version's card is replaced by this one. Raises `SetupError` if the model can't
    serve the task, OSError while the storage is unavailable, KafkaError.
    """
    card_json = json.dumps(card)
    if len(card_json.encode()) > MAX_CARD_BYTES:
        raise SetupError(
            f"The card is larger than {MAX_CARD_BYTES // 1024} KiB.", "Leave out what does not describe the model."
        )
    signature = read_signature(path)
    if (size := largest_bytes(path)) > settings.max_blob_bytes:
        raise SetupError(
            f"A file of the model has {size} bytes; at most {settings.max_blob_bytes} are read.",
            "Raise HINDSIGHT_MAX_BLOB_BYTES.",
        )
    artifact = store_version(path, blobs)

    def decide(models: TaskModels) -> ModelRegistered | ModelCardReplaced | None:
        if (registered := _find_artifact(models, artifact)) is not None:
            kept = {key: value for key, value in registered.card.items() if key == DRIFT_REFERENCE}
            corrected = {**kept, **json.loads(card_json)}
            if provenance.run_id is not None or registered.card == corrected:
                return None
            return ModelCardReplaced(task=task.name, model=registered.ref, card=corrected, actor=provenance.actor)
        if provenance.parent is not None:
            models.version(provenance.parent)
        if models.versions:
            _check_signature(signature, models, settings)
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
    return next((version for version in models.registered.values() if version.artifact == artifact), None)


def _check_signature(signature: Signature, models: TaskModels, settings: Settings) -> None:
    newest = models.newest.number
    needed = read_signature(fetch_model(settings, models, newest))
    if signature != needed:
        raise SetupError(
            f"The inputs and outputs of the model differ from those of version {newest}: "
            f"it has {_format_signature(signature)}; needed is {_format_signature(needed)}.",
            "Export it with these names, types and numbers of dimensions.",
        )


def read_signature(path: Path) -> Signature:
    """Return the inputs and outputs of the model at a path. Raises `SetupError` if it can't be opened."""
    check_version(path)
    try:
        model = open_version(path)
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        raise load_error(error) from error
    sides: dict[str, Mapping[str, TensorSpec]] = {"input": model.inputs, "output": model.outputs}
    return {
        f"{side} {name}": (spec.dtype.name, len(spec.shape))
        for side, specs in sides.items()
        for name, spec in specs.items()
    }


def _format_signature(signature: Signature) -> str:
    return ", ".join(f"{name} {kind} of {dimensions} dimensions" for name, (kind, dimensions) in signature.items())
