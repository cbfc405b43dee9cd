"""A version's model as a file on this machine, wherever it comes from."""

import asyncio
import json
import os
from pathlib import Path

from aiokafka.errors import KafkaError

from app.errors import SetupError
from app.registry.registry import Models
from app.registry.shipped import champion, shipped
from app.registry.subscription import read
from app.settings import Settings
from app.storage.blob_store import blob_store
from models.base import Rejected, Task


def version_file(settings: Settings, task: Task, number: str | None) -> tuple[str, Path]:
    """A version's number and its `model.onnx`, `card.json` beside it; None is the newest that the task's folder has.

    What that folder has needs no platform; any other is fetched from the registry, once: versions never change.
    Raises `SetupError`.
    """
    number = number or champion(task).version
    paths = shipped(task)
    if number in paths:
        return number, paths[number]
    try:
        models = asyncio.run(read(settings, [task])).tasks[task.name]
    except KafkaError as error:
        raise SetupError(
            f"{task.name} has no version {number!r} in its folder, and the registry can't be read: {error}.",
            f"Name one of {', '.join(paths)}, or start the platform: `hindsight up`.",
        ) from error
    return number, fetched(settings, models, number)


def fetched(settings: Settings, models: Models, number: str) -> Path:
    """The `model.onnx` of a version that the registry has. Raises `SetupError`."""
    version = models.version(number)
    path = settings.home / "versions" / models.task / number / "model.onnx"
    if not path.exists():
        try:
            content = version.model(blob_store(settings), settings)
        except (OSError, Rejected) as error:
            raise SetupError(f"{version.artifact} can't be read: {error}.", "Is blob storage reachable?") from error
        write_whole(path.with_name("card.json"), json.dumps(dict(version.card), ensure_ascii=False).encode())
        write_whole(path, content)
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
