"""The models that MLServer finds: each version is an entry of its own, `ocr-1`, loaded and unloaded alone."""

import json
import os
import shutil

from app.events.base import ModelRef
from app.settings import Settings

RUNTIME_CLASS = "app.inference.mlserver.runtime.OnnxRuntime"


def entry_name(model: ModelRef) -> str:
    """A version's name inside MLServer."""
    return f"{model.name}-{model.version}"


def install(settings: Settings, model: ModelRef, content: bytes) -> None:
    """Put a version where MLServer loads from, with the settings of today. Idempotent."""
    name = entry_name(model)
    place = settings.model_repository / name
    partial = settings.model_repository / f".{name}.{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "model.onnx").write_bytes(content)
    described = {
        "name": name,
        "implementation": RUNTIME_CLASS,
        "platform": "onnxruntime",
        "parameters": {
            "uri": "./model.onnx",
            "version": model.version,
            "extra": {"threads": settings.inference_threads},
        },
    }
    (partial / "model-settings.json").write_text(json.dumps(described, indent=2))
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)


def remove(settings: Settings, model: ModelRef) -> None:
    """Take a version away from where MLServer loads from."""
    shutil.rmtree(settings.model_repository / entry_name(model), ignore_errors=True)


def clear(settings: Settings) -> None:
    """Take all versions away."""
    shutil.rmtree(settings.model_repository, ignore_errors=True)
    settings.model_repository.mkdir(parents=True)
