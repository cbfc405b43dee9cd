"""A version that is bad on purpose."""

import numpy as np
import onnx
from onnx import numpy_helper

from app.demo.traffic import ACTOR
from app.kafka.producers import publish_all
from app.registry.changes import RegistryWriter
from app.registry.registration import Provenance, register
from app.registry.subscription import read_registry
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Task

_SWAPPED_SHARE = 0.5


async def deploy_faulty_version(settings: Settings, task: Task, seed: int, share: float) -> str:
    """Spoil the champion, register that, and have it answer a share of the requests, past the gate; its version."""
    models, blobs = (await read_registry(settings, [task])).tasks[task.name], blob_store(settings)
    champion = models.route.champion
    changes = RegistryWriter(settings, task, lambda record: publish_all(settings, [record]))
    model = corrupt_weights(models.version(champion).read_model(blobs, settings), seed)
    card = {"figures": {}, "spoilt": f"weights of version {champion}, exchanged at random"}
    version = await register(settings, task, changes, blobs, model, card, Provenance(ACTOR, champion))
    await changes.canary(version.number, share, "to be taken back", ACTOR)
    return version.number


def corrupt_weights(model: bytes, seed: int) -> bytes:
    """An ONNX model with half of each weight tensor's values exchanged among each other, and their signs turned.

    Shapes, types and names stay: it loads, answers as fast as before, and is wrong.
    """
    loaded, rng = onnx.load_from_string(model), np.random.default_rng(seed)
    for tensor in loaded.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if not np.issubdtype(values.dtype, np.floating) or values.size < 2:
            continue
        flat = values.flatten()
        chosen = rng.permutation(flat.size)[: max(2, round(_SWAPPED_SHARE * flat.size))]
        flat[chosen] = -flat[rng.permutation(chosen)]
        tensor.CopyFrom(numpy_helper.from_array(flat.reshape(values.shape), tensor.name))
    return bytes(loaded.SerializeToString())
