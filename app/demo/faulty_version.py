"""A deliberately faulty version of a model."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from app.demo.traffic import ACTOR
from app.kafka.producers import publish_all
from app.registry.artifacts import fetch_model
from app.registry.changes import RegistryWriter
from app.registry.registration import Provenance, register
from app.registry.subscription import read_registry
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Task
from models.manifest import MANIFEST, VersionFiles, listed, write_version

_SWAPPED_SHARE = 0.5


async def deploy_faulty_version(settings: Settings, task: Task, seed: int, share: float) -> str:
    """Corrupt and register the champion, and make it the canary without a gate. Return the version's number."""
    models, blobs = (await read_registry(settings, [task])).tasks[task.name], blob_store(settings)
    champion = models.route.champion
    writer = RegistryWriter(settings, task, lambda record: publish_all(settings, [record]))
    card = {"figures": {}, "spoilt": f"weights of version {champion}, exchanged at random"}
    with tempfile.TemporaryDirectory() as directory:
        path = corrupt_version(fetch_model(settings, models, champion), seed, Path(directory))
        version = await register(settings, task, writer, blobs, path, card, Provenance(ACTOR, champion))
    await writer.canary(version.number, share, "a faulty version, to be rolled back", ACTOR)
    return version.number


def corrupt_version(path: Path, seed: int, directory: Path) -> Path:
    """Write the version at `path` into a directory, with the weights of its ONNX files corrupted; return its path."""
    if path.name != MANIFEST:
        return write_version(directory, corrupt_weights(path.read_bytes(), seed), {}, None)
    files = VersionFiles.of(path)
    corrupted = {
        name: corrupt_weights(files.path(name).read_bytes(), seed)
        for name in files.manifest.files
        if name.endswith(".onnx")
    }
    manifest = files.manifest.model_copy(update={"files": {**files.manifest.files, **listed(corrupted)}})
    return write_version(directory, manifest.content(), corrupted, path)


def corrupt_weights(model: bytes, seed: int) -> bytes:
    """Permute half of each weight tensor's values of an ONNX model and flip their signs. Return the new model.

    Shapes, types and names stay: the model loads and answers as fast as before, with wrong outputs.
    """
    corrupted, rng = onnx.load_from_string(model), np.random.default_rng(seed)
    for tensor in corrupted.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if not np.issubdtype(values.dtype, np.floating) or values.size < 2:
            continue
        flat = values.flatten()
        indices = rng.permutation(flat.size)[: max(2, round(_SWAPPED_SHARE * flat.size))]
        flat[indices] = -flat[rng.permutation(indices)]
        tensor.CopyFrom(numpy_helper.from_array(flat.reshape(values.shape), tensor.name))
    return bytes(corrupted.SerializeToString())
