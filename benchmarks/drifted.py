"""A source that the shipped `ocr` model reads badly, and the log of what people say of what is served of it.

Lines in one font family that no training saw, slanted far and sent through a coarse, blurred fax.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from PIL import Image, ImageFilter

from app.eventlog import dataset
from app.events import ModelRef, prediction_id
from app.inference.local import LocalModel
from app.inference.predict import Predicted, Predictor
from models import tensors
from models.base import Asked, Decoded
from models.ocr import Ocr
from models.ocr.data import split_fonts
from models.ocr.lines import photographed, png
from models.ocr.printed import printed_line
from models.ocr.words import text_line

FAMILY = 0
"""Manrope, of the validation's families."""
SPLITS = ("train",) * 8 + ("validation", "test")


class Served(NamedTuple):
    """A line, what was served of it, and what it says in truth."""

    asked: Asked
    decoded: Decoded
    truth: str


def lines(count: int, seed: int) -> list[tuple[bytes, str]]:
    """Files of the source with their texts, no text twice."""
    rng = np.random.default_rng([seed, 77])
    found: dict[str, bytes] = {}
    fonts = split_fonts("validation")[FAMILY]
    while len(found) < count:
        text = " ".join(text_line(rng).split()[:2])
        ink = printed_line(text, fonts[int(rng.integers(len(fonts)))], rng)
        image = photographed(_faxed(_slanted(ink, rng.uniform(0.15, 0.3)), rng), rng)
        found.setdefault(text, png(image))
    return [(payload, text) for text, payload in found.items()]


def _slanted(ink: Image.Image, slant: float) -> Image.Image:
    wider = round(slant * ink.height)
    size = ink.width + wider, ink.height
    return ink.transform(size, Image.Transform.AFFINE, (1, slant, -wider, 0, 1, 0), Image.Resampling.BILINEAR)


def _faxed(ink: Image.Image, rng: Generator) -> Image.Image:
    """13 to 17 pixels high, blurred, and as large as before."""
    height = int(rng.integers(13, 18))
    small = ink.resize((max(1, ink.width * height // ink.height), height), Image.Resampling.BOX)
    return small.filter(ImageFilter.GaussianBlur(0.5)).resize(ink.size, Image.Resampling.BILINEAR)


def served(made: Sequence[tuple[bytes, str]], model: Path, explore: float, name: str) -> list[Served]:
    """What the platform serves of lines, by its own predictor, in their order."""
    task = Ocr(explore)
    source = f"benchmarks/{name}"
    asked = [
        Asked(prediction_id(task.name, source, str(number)), task.preprocess(payload))
        for number, (payload, _) in enumerate(made)
    ]
    predictor = Predictor(task, LocalModel(model), attempts=1)
    answers = asyncio.run(predictor(ModelRef(name=task.name, version=model.parent.name), asked))
    triples = zip(asked, answers, made, strict=True)
    return [Served(one, answer.decoded, text) for one, answer, (_, text) in triples if isinstance(answer, Predicted)]


def write_dataset(out: Path, log: Sequence[Served], rewards: int) -> Path:
    """A dataset as `hindsight replay` writes it: of the first lines a reward each, of the others a correction.

    The reward is 1 for a text that is right as a whole, else -1.
    """
    out.mkdir(parents=True)
    rows = [_row(number, one, number < rewards) for number, one in enumerate(log)]
    with dataset.Writer(out / dataset.ROWS) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))
    dataset.write_manifest(out / dataset.MANIFEST, {"content_hash": writer.content_hash, "rows": writer.rows})
    return out


def _row(number: int, served: Served, rewarded: bool) -> dict[str, Any]:
    asked, decoded, truth = served
    features, declaration = tensors.encode(asked.features)
    right = decoded.output["text"] == truth
    return dict.fromkeys(dataset.SCHEMA.names) | {
        "prediction_id": asked.prediction_id,
        "entity": asked.prediction_id,
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "split": SPLITS[number % len(SPLITS)],
        "features": features,
        "tensors": declaration,
        "output": json.dumps(decoded.output),
        "confidence": decoded.confidence,
        "propensity": decoded.propensity,
        "version": "1",
        "role": "champion",
        "label": None if rewarded else json.dumps({"text": truth}),
        "reward": (1.0 if right else -1.0) if rewarded else None,
        "selection": "volunteer",
    }
