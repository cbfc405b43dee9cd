"""A camera that the shipped `object_detection` model sees badly through, and the log of what people say of its outputs.

A cheap one indoors, in the evening: dark, in the colour of a bulb, a little out of focus, noisy.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
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
from models.base import Asked, Decoded, Judged, Sample
from models.object_detection import ObjectDetection
from models.object_detection.objects import Split
from models.object_detection.report import map50
from models.object_detection.scenes import compose, jpeg
from models.object_detection.scoring import hits

BULB = (1.2, 0.85, 0.35)
"""How much of red, green and blue such light has."""
LIGHT = (0.25, 0.5)
FOCUS = 1.3 / 300
"""The radius of the blur, as a share of the longer side."""
NOISE = 4.0
QUALITY = (30, 60)
SPLITS = ("train",) * 8 + ("validation", "test")


class Served(NamedTuple):
    """A picture, what was served of it, and what is there in truth."""

    asked: Asked
    decoded: Decoded
    sample: Sample


def samples(count: int, seed: int) -> list[Sample]:
    """Files of the camera to measure on, of photographs and objects that no training sees and no log has."""
    return _taken("held_out", count, seed)


def logged(count: int, seed: int) -> list[Sample]:
    """Files of the camera that people say something of."""
    return _taken("train", count, seed)


def _taken(split: Split, count: int, seed: int) -> list[Sample]:
    rng = np.random.default_rng([seed, 78])
    found = []
    for number in range(count):
        scene = compose(split, rng)
        payload = jpeg(_dim(scene.image, rng), int(rng.integers(*QUALITY)))
        found.append(Sample(f"dim-{number}.jpg", payload, "image/jpeg", {"boxes": scene.boxes}))
    return found


def _dim(picture: Image.Image, rng: Generator) -> Image.Image:
    blurred = picture.filter(ImageFilter.GaussianBlur(FOCUS * max(picture.size)))
    levels = np.asarray(blurred, np.float64) * (np.array(BULB) * rng.uniform(*LIGHT) * rng.uniform(0.95, 1.05, 3))
    levels += NOISE * rng.standard_normal(levels.shape)
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def served(found: Sequence[Sample], model: Path, explore: float, name: str) -> list[Served]:
    """What the platform serves of pictures, by its own predictor, in their order."""
    task = ObjectDetection(explore)
    source = f"benchmarks/{name}"
    asked = [
        Asked(prediction_id(task.name, source, str(number)), task.preprocess(sample.payload))
        for number, sample in enumerate(found)
    ]
    predictor = Predictor(task, LocalModel(model), attempts=1)
    answers = asyncio.run(predictor(ModelRef(name=task.name, version=model.parent.name), asked))
    triples = zip(asked, answers, found, strict=True)
    return [Served(one, answer.decoded, sample) for one, answer, sample in triples if isinstance(answer, Predicted)]


def reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """From -1, all is wrong, to 1, every object was found and nothing else was said: 2 * F1 - 1.

    F1 is the harmonic mean of precision and recall; 1 for an empty picture of which nothing was said.
    """
    said, true = output["boxes"], truth["boxes"]
    if not said and not true:
        return 1.0
    return 4.0 * float(hits(said, true).sum()) / (len(said) + len(true)) - 1.0


def error(judged: Sequence[Judged]) -> float:
    """1 - mAP at intersection over union 0.5."""
    return 1.0 - map50(judged)


def write_dataset(out: Path, log: Sequence[Served], rewards: int) -> Path:
    """A dataset as `hindsight replay` writes it: of the first pictures a reward each, of the others a correction."""
    out.mkdir(parents=True)
    rows = [_row(number, one, number < rewards) for number, one in enumerate(log)]
    with dataset.Writer(out / dataset.ROWS) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))
    dataset.write_manifest(out / dataset.MANIFEST, {"content_hash": writer.content_hash, "rows": writer.rows})
    return out


def _row(number: int, one: Served, rewarded: bool) -> dict[str, Any]:
    features, declaration = tensors.encode(one.asked.features)
    return dict.fromkeys(dataset.SCHEMA.names) | {
        "prediction_id": one.asked.prediction_id,
        "entity": one.asked.prediction_id,
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "split": SPLITS[number % len(SPLITS)],
        "features": features,
        "tensors": declaration,
        "output": json.dumps(one.decoded.output),
        "confidence": one.decoded.confidence,
        "propensity": one.decoded.propensity,
        "version": "1",
        "role": "champion",
        "label": None if rewarded else json.dumps(one.sample.correction),
        "reward": reward(one.decoded.output, one.sample.correction) if rewarded else None,
        "selection": "volunteer",
    }
