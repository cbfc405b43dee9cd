"""Folders in the layout of the Hugging Face Hub: config.json, preprocessor_config.json, vocab.json, onnx/model.onnx."""

import json
from pathlib import Path
from typing import Any

from app.errors import SetupError
from app.templates.foreign.hints import Hints
from app.templates.foreign.notes import unusable

MODELS = ("onnx/model.onnx", "model.onnx")
_KINDS = {
    "ForCTC": "ctc",
    "ForObjectDetection": "detection",
    "ForImageClassification": "classification",
    "ForSequenceClassification": "classification",
}
SEQ2SEQ = unusable(
    "it writes its output token by token, by an encoder, a decoder and a loop between them, and how the loop begins, "
    "ends and keeps its cache differs from model to model",
    "Write a `models.runtimes.Runtime` with the loop, which the manifest names, and a task for its output, as "
    "models/speech_to_text.",
)


def find_model(folder: Path) -> Path:
    """Return the ONNX file of a folder. Raises `SetupError` if there is none, or if there are several parts."""
    if any(folder.glob("**/decoder*.onnx")):
        raise SEQ2SEQ
    found = next((folder / name for name in MODELS if (folder / name).is_file()), None)
    if found is None:
        raise SetupError(
            f"{folder} has no {' or '.join(MODELS)}.",
            "Export the model: optimum-cli export onnx --model FOLDER FOLDER/onnx (PyPI: optimum-onnx).",
        )
    return found


def read_hints(folder: Path) -> Hints:
    """Return what the configuration says."""
    config, pictures = _json(folder / "config.json"), _json(folder / "preprocessor_config.json")
    architecture = next(iter(config.get("architectures") or [""]))
    kind = next((kind for suffix, kind in _KINDS.items() if architecture.endswith(suffix)), None)
    if architecture.endswith(("ForConditionalGeneration", "ForSpeechSeq2Seq", "ForVision2Seq")):
        raise SEQ2SEQ
    labels = _alphabet(folder, config) if kind == "ctc" else _labels(config)
    size, shorter = _size(pictures)
    normalised = pictures.get("do_normalize") is not False and "image_mean" in pictures
    scale = pictures.get("rescale_factor", 1 / 255) if pictures.get("do_rescale") is not False else 1.0
    return Hints(
        labels=labels,
        size=size,
        shorter=shorter,
        resize=("crop" if pictures.get("do_center_crop") else None) if pictures else None,
        scale=float(scale) if "image_mean" in pictures or "rescale_factor" in pictures else None,
        mean=tuple(pictures["image_mean"]) if normalised else None,
        std=tuple(pictures["image_std"]) if normalised else None,
        standardised=pictures.get("do_normalize") if "sampling_rate" in pictures else None,
        kind=kind,
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SetupError(f"{path} is not JSON: {error}.", "Correct it, or remove it.") from error
    return content if isinstance(content, dict) else {}


def _labels(config: dict[str, Any]) -> tuple[str, ...] | None:
    labels = config.get("id2label") or {}
    return tuple(str(labels[number]) for number in sorted(labels, key=int)) or None


def _alphabet(folder: Path, config: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the symbols of `vocab.json`: what is in brackets is no text, `|` is the space between words."""
    vocabulary = _json(folder / "vocab.json")
    symbols = sorted(vocabulary, key=lambda symbol: int(vocabulary[symbol]))
    blank = config.get("pad_token_id", 0)
    plain = ["" if len(symbol) > 1 and symbol[0] in "<[" else symbol.replace("|", " ") for symbol in symbols]
    return tuple("" if place == blank else symbol for place, symbol in enumerate(plain)) or None


def _size(pictures: dict[str, Any]) -> tuple[tuple[int, int] | None, int | None]:
    """Return height and width, and the length that the shorter side gets before the middle is cut out."""
    size, crop = pictures.get("size"), pictures.get("crop_size")
    shorter = size.get("shortest_edge") if isinstance(size, dict) else size if isinstance(size, int) else None
    for sides in (crop, size) if pictures.get("do_center_crop") else (size,):
        if isinstance(sides, int):
            return (sides, sides), shorter
        if isinstance(sides, dict) and "height" in sides:
            return (int(sides["height"]), int(sides["width"])), shorter
    return ((shorter, shorter) if shorter else None), shorter
