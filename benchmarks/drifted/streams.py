"""`python -m benchmarks.drifted.streams`: what each task's shipped version says of usual and of drifted requests.

Written to `benchmarks/drifted/streams/<task>.parquet`, a row for each request: `drifted`, `score`, `confidence` and the
features that are watched (`app.monitoring.samples`). `benchmarks.drift` and `benchmarks.unlabelled` draw from it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app.monitoring.samples import watched
from app.settings import CHECKOUT
from benchmarks.drifted import SOURCES
from benchmarks.drifted.log import served
from benchmarks.drifted.source import Drawn, Source
from models.base import EvaluatedSample, Sample
from models.decision import Decision
from models.decision.data import simulator

FILES = Path(__file__).parent / "streams"
REQUESTS = {"ocr": 3000, "speech_to_text": 1500, "object_detection": 1500, "decision": 6000}
"""Usual ones of each task, and half as many of the drifted source."""
SEED = 11


def _shoppers(tested: int, logged: int, seed: int) -> Drawn:
    """Visitors before a holiday: mostly on phones, in the evening, with twice the budget."""
    rng, found = np.random.default_rng([seed, 80]), list[Sample]()
    for number in range(tested + logged):
        request = simulator.visit(rng)
        context = request["context"]
        context["budget"] = round(2 * context["budget"], 2)
        context["device"] = "phone" if rng.random() < 0.8 else context["device"]
        context["hour"] = int(rng.integers(17, 24))
        found.append(simulator.sample(request, f"shopper-{number}.json"))
    return Drawn(found[:tested], found[tested:])


def _reward(output: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    return 0.0


def _error(judged: Sequence[EvaluatedSample]) -> float:
    return 0.0


DRIFTED = SOURCES | {"decision": Source(lambda explore: Decision(), _shoppers, _reward, _error, "")}


def rows(name: str) -> Iterator[dict[str, Any]]:
    """What is served of usual and then of drifted requests, and what that is worth."""
    source, count = DRIFTED[name], REQUESTS[name]
    task, rng = source.task(0.0), np.random.default_rng(SEED)
    usual = list(islice(task.demonstration(SEED), count))
    model = CHECKOUT / "models" / name / "versions/1/model.onnx"
    for drifted, samples in ((False, usual), (True, source.samples(0, count // 2, SEED).logged)):
        for one in served(source, 0.0, samples, model, f"streams-{drifted}"):
            reward = task.reward(one.sample, one.decoded.output, rng)
            score = task.score(one.decoded.output, one.sample.correction) if reward is None else reward
            seen = watched(task, one.decoded.output, one.decoded.confidence, task.summary(one.asked.features))
            yield {"drifted": drifted, "score": score, "confidence": one.decoded.confidence} | seen


def read(name: str) -> pl.DataFrame:
    """The rows of a task."""
    return pl.read_parquet(FILES / f"{name}.parquet")


def main() -> None:
    """Make all files anew."""
    FILES.mkdir(exist_ok=True)
    for name in DRIFTED:
        frame = pl.DataFrame(list(rows(name)), infer_schema_length=None).fill_null(0.0)
        numbers = [pl.col(column).cast(pl.Float32) for column in frame.columns if column != "drifted"]
        frame.select("drifted", *numbers).write_parquet(FILES / f"{name}.parquet")
        print(name, json.dumps({str(key): group["score"].mean() for key, group in frame.group_by("drifted")}))


if __name__ == "__main__":
    main()
