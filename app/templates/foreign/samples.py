"""The samples of a foreign task: files that the user gives, or made ones, with what the model answers."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFont

from app.errors import SetupError
from app.templates.foreign.design import Design
from app.templates.foreign.notes import unusable
from models.audio.files import RATE
from models.base import Asked, Rejected
from models.entry_points import load
from models.foreign.runtime import ForeignModel
from models.foreign.task import ForeignTask

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".json": "application/json",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".mp3": "audio/mpeg",
}


def write_samples(design: Design, runtime: ForeignModel, given: Sequence[Path], folder: Path) -> None:
    """Write the files and `samples.json`. Raises `SetupError` if the task can't answer one of them."""
    folder.mkdir()
    entries = []
    for name, payload in _payloads(design, given):
        (folder / name).write_bytes(payload)
        entries.append(
            {
                "name": name,
                "content_type": _TYPES.get(Path(name).suffix.lower(), "application/octet-stream"),
                "correction": _answer(design, runtime, name, payload),
                "checked": False,
            }
        )
    (folder / "samples.json").write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n")


def _payloads(design: Design, given: Sequence[Path]) -> list[tuple[str, bytes]]:
    if given:
        try:
            return [(f"{number:02}-{path.name}", path.read_bytes()) for number, path in enumerate(given)]
        except OSError as error:
            raise SetupError(
                f"{error.filename} can't be read: {error.strerror}.", "Give other files as --sample."
            ) from error
    match design.options.input.kind:
        case "numbers":
            count = len(design.attributes["columns"])
            return [(f"{value}.json", json.dumps([value] * count).encode()) for value in (0, 1)]
        case "samples":
            return [(f"{tone}-hertz.wav", _tone(tone)) for tone in (220, 440)]
    return [(f"{size[0]}x{size[1]}.png", _picture(*size)) for size in ((240, 48), (320, 64))]


def _tone(hertz: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.sin(2 * np.pi * hertz / RATE * np.arange(RATE)), RATE, format="WAV")
    return file.getvalue()


def _picture(width: int, height: int) -> bytes:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text(
        (height // 4, height // 6), f"sample {width}", "black", ImageFont.load_default(height // 2)
    )
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _answer(design: Design, runtime: ForeignModel, name: str, payload: bytes) -> dict[str, Any]:
    """Return what the task will answer, as a correction."""
    task = _task(design)
    try:
        features = task.preprocess(payload)
        outputs = runtime.run({key: tensor[None] for key, tensor in task.inputs(features).items()})
        [decoded] = task.decode(outputs, [Asked(name, features)])
        return task.validate_correction(decoded.output)
    except Rejected as error:
        raise SetupError(f"The sample {name} is rejected: {error}.", "Give others as --sample.") from error
    except Exception as error:
        raise unusable(f"it can't answer {name}: {error}", "Give another --kind or other options.") from error


def _task(design: Design) -> ForeignTask:
    """Return the task before its module is written. A bandit's is greedy."""
    bases = tuple(load(f"models.foreign.{module}:{name}") for module, name in design.bases)
    attributes = design.attributes | {"name": "new", "class_names": classmethod(lambda _: design.labels)}
    options = {"epsilon": 0.0, "floor": 0.0} if design.kind == "bandit" else {}
    task: ForeignTask = type("Designed", bases, attributes)(**options)
    return task
