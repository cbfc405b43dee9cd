"""A task's whole work on payloads as they come, for the peers."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from app.registry.shipped import shipped_champion, shipped_versions
from app.settings import settings
from app.tasks import load_task
from benchmarks.in_process import make_batches, open_session, run_batch
from benchmarks.pipeline import TaskTopics
from models.base import Decoded, Features, Rejected, Task


def peer_topics(group: str) -> TaskTopics:
    """Return the topics of a consumer group, its own: a new group begins with the first request."""
    return TaskTopics(f"{group}.requests", f"{group}.predictions")


class Answerer:
    """Preprocesses, predicts and decodes batches with ONNX Runtime in this process, on one thread."""

    def __init__(self, task: Task, model: Path) -> None:
        self._task = task
        self._runtime = open_session(model, threads=1)

    def __call__(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Return an answer in JSON for each payload, in order: its prediction, or why it was rejected."""
        answers: dict[int, bytes] = {}
        features: dict[int, Features] = {}
        for index, payload in enumerate(payloads):
            try:
                features[index] = self._task.preprocess(payload)
            except Rejected as error:
                answers[index] = json.dumps({"error": str(error)}).encode()
        for batch in make_batches(self._task, features, len(payloads)):
            decoded = self._task.decode(run_batch(self._runtime, batch.inputs), batch.asked)
            answers |= dict(zip(batch.numbers, map(_to_json, decoded), strict=True))
        return [answers[index] for index in range(len(payloads))]


def answerer_from_arguments() -> tuple[Answerer, str]:
    """Return the answerer of the task that the command line names, with its shipped model, and the consumer group."""
    name, group = sys.argv[1:3]
    task = load_task(settings(), name)
    return Answerer(task, shipped_versions(task)[shipped_champion(task).version]), group


def _to_json(decoded: Decoded) -> bytes:
    return json.dumps({"output": decoded.output, "confidence": decoded.confidence}).encode()
