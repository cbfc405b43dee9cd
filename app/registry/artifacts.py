"""Files of model versions on this machine."""

import asyncio
import json
from pathlib import Path

from aiokafka.errors import KafkaError

from app.errors import SetupError
from app.registry.registry import TaskModels
from app.registry.shipped import require_weights, shipped_champion, shipped_versions
from app.registry.subscription import read_registry
from app.registry.version_files import fetch_version
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Rejected, Task
from models.manifest import find_version, write_atomically


def version_path(settings: Settings, task: Task, number: str | None) -> tuple[str, Path]:
    """Return a version's number and its path, with `card.json` beside it. None is the newest shipped version.

    The path is that of its `model.onnx` or `manifest.json`, see `models.manifest`. Shipped versions need no platform.
    Any other version is fetched from the registry once, because models never change. Raises `SetupError`.
    """
    number = number or shipped_champion(task).version
    paths = shipped_versions(task)
    if number in paths:
        require_weights(task, number)
        return number, paths[number]
    try:
        models = asyncio.run(read_registry(settings, [task])).tasks[task.name]
    except KafkaError as error:
        raise SetupError(
            f"{task.name} has no version {number!r} in its folder, and the registry can't be read: {error}.",
            f"Name one of {', '.join(paths)}, or start the platform: `hindsight up`.",
        ) from error
    return number, fetch_model(settings, models, number)


def fetch_model(settings: Settings, models: TaskModels, number: str) -> Path:
    """Return the path of a version in the registry, fetched if need be. Raises `SetupError`."""
    version = models.version(number)
    card = json.dumps(dict(version.card), ensure_ascii=False).encode()
    directory = settings.home / "versions" / models.task / number
    path = find_version(directory)
    if path is None:
        try:
            path = fetch_version(version, blob_store(settings), settings, directory)
        except (OSError, Rejected) as error:
            raise SetupError(
                f"{version.artifact} can't be read: {error}.", "Check that blob storage is reachable."
            ) from error
    card_path = path.with_name("card.json")
    if not card_path.exists() or card_path.read_bytes() != card:
        write_atomically(card_path, card)
    return path
