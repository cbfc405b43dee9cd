"""Predict baseline and drifted requests by each shipped version: `python -m benchmarks.studies.drifted.streams`.

Writes `streams/<task>.parquet` beside this file, a row for each request: `drifted`, `score`, `confidence` and the
monitored features (`app.monitoring.drift_features`). The studies `drift` and `performance_estimation` draw from it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.monitoring.drift_features import prediction_features
from app.registry.shipped import shipped_versions
from benchmarks.studies.drifted import SOURCES
from benchmarks.studies.drifted.dataset import serve_samples
from benchmarks.studies.drifted.source import DriftedSource, SourceSamples
from models.base import EvaluatedSample, Sample
from models.decision import Decision
from models.decision.data import simulator

STREAM_DIRECTORY = Path(__file__).parent / "streams"
REQUEST_COUNTS = {"ocr": 3000, "speech_to_text": 1500, "object_detection": 1500, "decision": 6000}
"""Baseline requests of each task; there are half as many of the drifted source."""
SEED = 11


def _draw_holiday_visitors(tested: int, logged: int, seed: int) -> SourceSamples:
    """Draw visitors before a holiday: mostly on phones, in the evening, with twice the budget."""
    rng, samples = np.random.default_rng([seed, 80]), list[Sample]()
    for number in range(tested + logged):
        request = simulator.visit(rng)
        context = request["context"]
        context["budget"] = round(2 * context["budget"], 2)
        context["device"] = "phone" if rng.random() < 0.8 else context["device"]
        context["hour"] = int(rng.integers(17, 24))
        samples.append(simulator.sample(request, f"shopper-{number}.json"))
    return SourceSamples(samples[:tested], samples[tested:])


def _reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    return 0.0


def _error(judged: Sequence[EvaluatedSample]) -> float:
    return 0.0


DRIFTED_SOURCES = SOURCES | {
    "decision": DriftedSource(lambda explore: Decision(), _draw_holiday_visitors, _reward, _error, "")
}


def serve_stream(name: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each baseline request and then for each drifted one: what is served, and its score."""
    source, count = DRIFTED_SOURCES[name], REQUEST_COUNTS[name]
    task, rng = source.task(0.0), np.random.default_rng(SEED)
    baseline = list(islice(task.demonstration(SEED), count))
    model = shipped_versions(task)["1"]
    for drifted, samples in ((False, baseline), (True, source.samples(0, count // 2, SEED).logged)):
        for served in serve_samples(source, 0.0, samples, model, f"streams-{drifted}"):
            output, confidence = served.decoded.output, served.decoded.confidence
            reward = task.reward(served.sample, output, rng)
            score = task.score(output, served.sample.correction) if reward is None else reward
            monitored = prediction_features(task, output, confidence, task.summary(served.asked.features))
            yield {"drifted": drifted, "score": score, "confidence": confidence} | monitored


def read_stream(name: str) -> pl.DataFrame:
    """Return the rows of a task."""
    return pl.read_parquet(STREAM_DIRECTORY / f"{name}.parquet")


def main() -> None:
    """Write all files."""
    STREAM_DIRECTORY.mkdir(exist_ok=True)
    for name in DRIFTED_SOURCES:
        frame = pl.DataFrame(list(serve_stream(name)), infer_schema_length=None).fill_null(0.0)
        numbers = [pl.col(column).cast(pl.Float32) for column in frame.columns if column != "drifted"]
        frame.select("drifted", *numbers).write_parquet(STREAM_DIRECTORY / f"{name}.parquet")
        print(name, json.dumps({str(key): group["score"].mean() for key, group in frame.group_by("drifted")}))


if __name__ == "__main__":
    main()
