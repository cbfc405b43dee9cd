"""The task `decision` as a learner of the study `decisions`: from a request in JSON to a model trained on a dataset."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from app.inference.predictor import stack_inputs
from app.replay import dataset
from benchmarks.studies.decision_peers import DecisionLog, Floats, Indices
from models import tensors
from models.base import Asked, Decoded, Features
from models.decision import Decision
from models.training import train

BATCH_SIZE = 128


class HindsightLearner:
    """A learner of `decision_peers.Learner`, with an action for each class."""

    def __init__(self, actions: int, columns: int, seed: int, directory: Path) -> None:
        self._names = [f"class-{action}" for action in range(actions)]
        schema = {"context": {f"x{column}": "numeric" for column in range(columns)}, "actions": {"class": self._names}}
        (directory / "schema.json").write_text(json.dumps(schema))
        self._task = Decision(schema=str(directory / "schema.json"))
        self._seed, self._directory = seed, directory
        self._session: Any = None
        self._rows: list[dict[str, Any]] = []
        self._served: list[tuple[Asked, Decoded]] = []
        self._count = 0

    def _features(self, context: Floats) -> Features:
        values = {f"x{column}": float(value) for column, value in enumerate(context)}
        request = {"context": values, "actions": [{"id": name, "class": name} for name in self._names]}
        return self._task.preprocess(json.dumps(request).encode())

    def _decide(self, contexts: Floats) -> list[tuple[Asked, Decoded]]:
        requests = []
        for context in contexts:
            requests.append(Asked(f"decision:{self._seed}-{self._count}", self._features(context)))
            self._count += 1
        decisions: list[tuple[Asked, Decoded]] = []
        for start in range(0, len(requests), BATCH_SIZE):
            batch = requests[start : start + BATCH_SIZE]
            decisions += zip(batch, self._task.decode(self._outputs(batch), batch), strict=True)
        return decisions

    def _outputs(self, batch: Sequence[Asked]) -> dict[str, NDArray[Any]]:
        inputs = stack_inputs(self._task, [request.features for request in batch])
        if self._session is None:  # before the first version nothing is known: all actions are alike
            zeros = np.zeros(inputs["actions"].shape[:2], np.float32)
            return {"logits": zeros, "rewards": zeros}
        return dict(zip(("logits", "rewards"), self._session.run(["logits", "rewards"], inputs), strict=True))

    def serve(self, contexts: Floats) -> tuple[Indices, Floats]:
        self._served = self._decide(contexts)
        choices = [self._names.index(decoded.output["action"]) for _, decoded in self._served]
        return np.array(choices), np.array([decoded.propensity for _, decoded in self._served])

    def best(self, contexts: Floats) -> Indices:
        probabilities = [list(decoded.output["probabilities"].values()) for _, decoded in self._decide(contexts)]
        choices: Indices = np.argmax(probabilities, axis=1)
        return choices

    def learn(self, log: DecisionLog) -> None:
        for (request, decoded), reward in zip(self._served, log.rewards[-1], strict=True):
            self._rows.append(make_dataset_row(request, decoded, float(reward), len(self._rows)))
        out = self._directory / f"dataset-{len(log.rewards)}"
        write_dataset(self._rows, out)
        trained = train(self._task, out, None, self._seed, lambda step, done, total: None)
        self._session = onnxruntime.InferenceSession(trained.model, providers=["CPUExecutionProvider"])


def make_dataset_row(request: Asked, decoded: Decoded, reward: float, number: int) -> dict[str, Any]:
    """Return a row of a dataset as `hindsight replay` writes it; each tenth is in the validation split."""
    features, declaration = tensors.encode(request.features)
    return {
        "prediction_id": request.prediction_id,
        "propensity": decoded.propensity,
        "split": "validation" if number % 10 == 9 else "train",
        "features": features,
        "tensors": declaration,
        "output": json.dumps(decoded.output),
        "reward": reward,
    }


def write_dataset(rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Write a dataset of these rows."""
    out.mkdir()
    with dataset.DatasetWriter(out / dataset.ROWS_FILE) as writer:
        writer.write(pa.RecordBatch.from_pylist(list(rows), dataset.SCHEMA))
