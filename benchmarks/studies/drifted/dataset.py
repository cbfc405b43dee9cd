"""Serve the samples of a source as the platform does, and write a dataset with feedback on them."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
MAX_DRAWS = 5
"""The outputs that are drawn at most until one differs from the served output."""

FeedbackKind = Literal["correction", "reward", "score", "preference"]
"""A score is a reward, too: what the task scores the output by, from 0 to 1."""


class ServedSample(NamedTuple):
    """A sample, its prediction, and the feedback that a person would give."""

    sample: Sample
    asked: Asked
    decoded: Decoded
    reward: float
    score: float
    preference: dict[str, Any] | None = None


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
        judged = answer.prediction.output, sample.correction
        rewards = source.reward(*judged), task.score(*judged)
        served.append(ServedSample(sample, request, answer.prediction, *rewards))
    return served


def compare_samples(source: DriftedSource, log: Sequence[ServedSample], model: Path, name: str) -> list[ServedSample]:
    """Return those samples for which people prefer one of two outputs, with that preference.

    The other output is drawn from the model's distribution, until it differs. People prefer the one with the higher
    score, if one has.
    """
    compared: dict[int, ServedSample] = {}
    open_places = list(range(len(log)))
    for draw in range(MAX_DRAWS):
        drawn = serve_samples(source, 1.0, [log[place].sample for place in open_places], model, f"{name}-{draw}")
        for place, other in zip(open_places, drawn, strict=True):
            served = log[place]
            if other.decoded.output != served.decoded.output:
                compared[place] = served._replace(preference=_prefer(source, served, other.decoded.output))
        open_places = [place for place in open_places if place not in compared]
    return [compared[place] for place in sorted(compared) if compared[place].preference]


def _prefer(source: DriftedSource, served: ServedSample, other: Mapping[str, Any]) -> dict[str, Any] | None:
    task, truth = source.task(0.0), served.sample.correction
    gain = task.score(other, truth) - task.score(served.decoded.output, truth)
    return {"output": other, "better": gain > 0} if gain else None


def write_dataset(
    out: Path, log: Sequence[ServedSample], kinds: Iterable[FeedbackKind], splits: Sequence[str] = SPLITS
) -> Path:
    """Write a dataset as `hindsight replay` does: each sample has feedback of its kind."""
    out.mkdir(parents=True)
    rows = [
        _row(served, splits[number % len(splits)], kind)
        for number, (served, kind) in enumerate(zip(log, kinds, strict=False))
    ]
    with dataset.DatasetWriter(out / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist(rows, dataset.SCHEMA))
    dataset.write_manifest(out / dataset.MANIFEST_FILE, {"content_hash": writer.content_hash, "rows": writer.rows})
    return out


def _row(served: ServedSample, split: str, kind: FeedbackKind) -> dict[str, Any]:
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
        "label": json.dumps(served.sample.correction) if kind == "correction" else None,
        "reward": {"reward": served.reward, "score": served.score}.get(kind),
        "preferences": json.dumps([served.preference]) if kind == "preference" else None,
        "selection": "volunteer",
    }
