"""Serve the samples of a source as the platform does, and write a dataset with feedback on them."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from app.events.base import ModelRef
from app.events.ids import prediction_id
from app.inference.local_model import LocalModel
from app.inference.predictor import PredictionResult, Predictor
from app.replay import dataset
from benchmarks.studies.drifted.source import DriftedSource
from models import tensors
from models.base import Asked, Decoded, Sample

SPLITS = ("train",) * 8 + ("validation", "test")


class ServedSample(NamedTuple):
    """A sample, its prediction, and the reward that a person would give."""

    sample: Sample
    asked: Asked
    decoded: Decoded
    reward: float


def serve_samples(
    source: DriftedSource, explore: float, samples: Sequence[Sample], model: Path, name: str
) -> list[ServedSample]:
    """Return what the platform's predictor serves for samples, in their order."""
    task = source.task(explore)
    asked = [
        Asked(prediction_id(task.name, f"benchmarks/{name}", str(number)), task.preprocess(sample.payload))
        for number, sample in enumerate(samples)
    ]
    predictor = Predictor(task, LocalModel(model), max_attempts=1)
    answers = asyncio.run(predictor(ModelRef(name=task.name, version=model.parent.name), asked))
    served = []
    for sample, request, answer in zip(samples, asked, answers, strict=True):
        assert isinstance(answer, PredictionResult), answer
        reward = source.reward(answer.prediction.output, sample.correction)
        served.append(ServedSample(sample, request, answer.prediction, reward))
    return served


def write_dataset(out: Path, log: Sequence[ServedSample], rewards: int, splits: Sequence[str] = SPLITS) -> Path:
    """Write a dataset as `hindsight replay` does: the first samples have a reward each, the others a correction."""
    out.mkdir(parents=True)
    rows = [_row(served, splits[number % len(splits)], number < rewards) for number, served in enumerate(log)]
    with dataset.DatasetWriter(out / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))
    dataset.write_manifest(out / dataset.MANIFEST_FILE, {"content_hash": writer.content_hash, "rows": writer.rows})
    return out


def _row(served: ServedSample, split: str, rewarded: bool) -> dict[str, Any]:
    features, declaration = tensors.encode(served.asked.features)
    return dict.fromkeys(dataset.SCHEMA.names) | {
        "prediction_id": served.asked.prediction_id,
        "entity": served.asked.prediction_id,
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "split": split,
        "features": features,
        "tensors": declaration,
        "output": json.dumps(served.decoded.output),
        "confidence": served.decoded.confidence,
        "propensity": served.decoded.propensity,
        "version": "1",
        "role": "champion",
        "label": None if rewarded else json.dumps(served.sample.correction),
        "reward": served.reward if rewarded else None,
        "selection": "volunteer",
    }
