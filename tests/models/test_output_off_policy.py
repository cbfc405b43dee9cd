"""Versions of tasks with drawn outputs, valued by rewards on logs whose truth is known."""

import json
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.registry.shipped import shipped_versions
from models import tensors
from models.base import Asked, Task, Untrainable
from models.nn.onnx_inference import run, session
from models.small.object_detection.task import ObjectDetection
from models.small.ocr.task import Ocr
from models.small.speech_to_text.task import SpeechToText
from models.training import evaluate_off_policy
from tests.support.datasets import START, write_dataset

EXPLORE, SAMPLES, TIMES = 0.5, 4, 50
TASKS: list[type[Any]] = [Ocr, SpeechToText, ObjectDetection]


def shipped(task: Task) -> Path:
    return shipped_versions(task)["1"]


def served(task: Task) -> list[dict[str, Any]]:
    """Rows of a few samples, each served many times by the shipped version; an output earns what it scores."""
    samples = list(islice(task.demonstration(3), SAMPLES))
    features, rows = [task.preprocess(sample.payload) for sample in samples], list[dict[str, Any]]()
    for places, outputs in run(session(shipped(task).read_bytes()), task, features):
        for row, place in enumerate(places):
            many = {name: np.repeat(tensor[row : row + 1], TIMES, axis=0) for name, tensor in outputs.items()}
            asked = [Asked(f"{place}:{number}", features[place]) for number in range(TIMES)]
            data, declaration = tensors.encode(features[place])
            for event, decoded in zip(asked, task.decode(many, asked), strict=True):
                reward = task.score(decoded.output, samples[place].correction)
                rows.append(
                    {
                        "prediction_id": event.prediction_id,
                        "time": START + timedelta(seconds=len(rows)),
                        "features": data,
                        "tensors": declaration,
                        "split": "test",
                        "output": json.dumps(decoded.output),
                        "propensity": decoded.propensity,
                        "reward": round(reward, 6),
                    }
                )
    return rows


@pytest.fixture(scope="module", params=TASKS, ids=lambda task: str(task.name))
def logged(request: pytest.FixtureRequest) -> tuple[type[Any], list[dict[str, Any]]]:
    return request.param, served(request.param(explore=EXPLORE))


def evaluate(task: Task, directory: Path, rows: list[dict[str, Any]]) -> Any:
    [value] = evaluate_off_policy(task, write_dataset(directory, rows), [shipped(task)], 0, lambda *_: None)
    return value


def test_the_version_that_served_is_worth_what_it_earned(logged: tuple[type[Any], Any], tmp_path: Path) -> None:
    task, rows = logged
    value = evaluate(task(explore=EXPLORE), tmp_path, rows)
    assert value.count == len(rows) == SAMPLES * TIMES
    assert value.estimate.value == pytest.approx(np.mean([row["reward"] for row in rows]), abs=1e-3)
    assert value.effective_decisions == pytest.approx(len(rows), rel=1e-3)
    assert value.lower_bound.value == pytest.approx(value.logged.value, abs=1e-3)


def test_the_greedy_policy_is_worth_what_its_outputs_earn(logged: tuple[type[Any], Any], tmp_path: Path) -> None:
    task, rows = logged
    truth = np.mean([row["reward"] for row in served(task())])
    value = evaluate(task(), tmp_path, rows)
    low, high = value.estimate.interval(0.99)
    assert low <= truth <= high
    assert high - low < 0.6
    assert value.lower_bound.interval(0.99)[0] <= truth


def test_a_log_without_exploration_or_with_few_rewards_is_refused(
    logged: tuple[type[Any], list[dict[str, Any]]], tmp_path: Path
) -> None:
    task, rows = logged
    greedy = [{**row, "propensity": 1.0} for row in rows]
    with pytest.raises(Untrainable, match="set `explore` in HINDSIGHT_TASK_OPTIONS"):
        evaluate(task(), tmp_path, greedy)
    with pytest.raises(Untrainable, match="at least 30 are needed"):
        evaluate(task(), tmp_path, rows[:20])


def test_rows_from_before_the_exploration_do_not_count(
    logged: tuple[type[Any], list[dict[str, Any]]], tmp_path: Path
) -> None:
    task, rows = logged
    before = [{**row, "propensity": 1.0, "time": row["time"] - timedelta(days=1), "reward": -1.0} for row in rows]
    [one, both] = [evaluate(task(explore=EXPLORE), tmp_path, some) for some in (rows, before + rows)]
    assert (both.count, both.estimate.value) == (one.count, one.estimate.value)


def test_a_version_that_does_what_the_log_never_shows_is_doubted(tmp_path: Path) -> None:
    rows = served(Ocr(explore=EXPLORE))
    other = [{**row, "output": json.dumps({"text": "never"})} if number % 3 else row for number, row in enumerate(rows)]
    assert any("what the log never shows" in doubt for doubt in evaluate(Ocr(explore=EXPLORE), tmp_path, other).doubts)
