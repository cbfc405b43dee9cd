"""MLServer's model repository. Each version is a separate entry, such as `ocr-1`, with its own load and unload."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from app.events.base import ModelRef
from app.inference.mlserver import warm_up
from app.settings import Settings

RUNTIME_CLASS = "app.inference.mlserver.runtime.VersionRuntime"


def entry_name(model: ModelRef) -> str:
    """Return a version's name in MLServer."""
    return f"{model.name}-{model.version}"


def install(
    settings: Settings, model: ModelRef, fetch: Callable[[Path], Path], warm_up_batches: Sequence[warm_up.Batch] = ()
) -> None:
    """Write a version into the repository, with the current settings. Idempotent.

    `fetch` lets the version's files appear in a directory, and returns its path there. The version is ready once it has
    answered the `warm_up_batches`.
    """
    name = entry_name(model)
    entry = settings.model_repository / name
    partial = settings.model_repository / f".{name}.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    path = fetch(partial)
    warm_up.write(partial, warm_up_batches)
    model_settings = {
        "name": name,
        "implementation": RUNTIME_CLASS,
        "platform": "onnxruntime",
        "parameters": {
            "uri": f"./{path.name}",
            "version": model.version,
            "extra": {
                "threads": settings.inference_threads,
                "providers": settings.for_task(model.name).execution_providers,
            },
        },
    }
    (partial / "model-settings.json").write_text(json.dumps(model_settings, indent=2))
    shutil.rmtree(entry, ignore_errors=True)
    partial.rename(entry)


def remove(settings: Settings, model: ModelRef) -> None:
    """Remove a version from the repository."""
    shutil.rmtree(settings.model_repository / entry_name(model), ignore_errors=True)


def clear(settings: Settings) -> None:
    """Remove all versions."""
    shutil.rmtree(settings.model_repository, ignore_errors=True)
    settings.model_repository.mkdir(parents=True)
