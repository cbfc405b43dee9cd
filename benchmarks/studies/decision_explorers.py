"""Learners of the study `decision_ranks`: they serve a round of requests with a frozen policy, then learn from it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.studies.decision_learner import make_dataset_row, write_dataset
from models.base import Asked, Decoded, Features, Untrainable
from models.decision import Decision
from models.training import train

Request = dict[str, Any]
"""`{"context": {name: value}, "actions": [{"id": name, name: value}]}`."""


class Explorer(Protocol):
    """A policy that explores, and learns from the rewards of its own choices."""

    def serve(self, requests: Sequence[Request]) -> list[NDArray[np.float64]]:
        """Return the probability of each action of each request."""
        ...

    def learn(self, choices: Sequence[int], rewards: Sequence[float]) -> None:
        """Learn from the rewards of what was chosen for the requests that were served last."""
        ...


class Hindsight:
    """The whole way of `decision`: requests, features, ONNX Runtime, `decode`, rows of a dataset, and its trainer."""

    def __init__(self, schema: dict[str, Any], seed: int, directory: Path, **options: Any) -> None:
        (directory / "schema.json").write_text(json.dumps(schema))
        self._task = Decision(schema=str(directory / "schema.json"), **options)
        self._seed, self._directory = seed, directory
        self._model: Path | None = None
        self._session: Any = None
        self._rows: list[dict[str, Any]] = []
        self._served: list[tuple[Asked, Decoded]] = []

    def serve(self, requests: Sequence[Request]) -> list[NDArray[np.float64]]:
        self._served = []
        for request in requests:
            features = self._task.preprocess(json.dumps(request).encode())
            asked = Asked(f"decision:{len(self._rows) + len(self._served)}", features)
            [decoded] = self._task.decode(self._outputs(features), [asked])
            self._served.append((asked, decoded))
        return [np.array(list(decoded.output["probabilities"].values())) for _, decoded in self._served]

    def _outputs(self, features: Features) -> dict[str, NDArray[Any]]:
        if self._session is None:  # before the first version nothing is known: all actions are alike
            zeros = np.zeros((1, len(features["actions"])), np.float32)
            return {"logits": zeros, "rewards": zeros}
        inputs = {name: value[None] for name, value in self._task.inputs(features).items()}
        return dict(zip(("logits", "rewards"), self._session.run(["logits", "rewards"], inputs), strict=True))

    def learn(self, choices: Sequence[int], rewards: Sequence[float]) -> None:
        for (request, decoded), choice, reward in zip(self._served, choices, rewards, strict=True):
            action, propensity = list(decoded.output["probabilities"].items())[choice]
            chosen = Decoded({**decoded.output, "action": action}, decoded.confidence, propensity)
            self._rows.append(make_dataset_row(request, chosen, reward, len(self._rows)))
        dataset = self._directory / f"dataset-{len(self._rows)}"
        write_dataset(self._rows, dataset)
        try:
            trained = train(self._task, dataset, self._model, self._seed, lambda step, done, total: None)
        except Untrainable:  # too few rewards, or all alike: the next round is served as this one was
            return
        self._model = self._directory / f"{len(self._rows)}.onnx"
        self._model.write_bytes(trained.model)
        self._session = onnxruntime.InferenceSession(trained.model, providers=["CPUExecutionProvider"])


class VowpalWabbit:
    """`cb_explore_adf` of Vowpal Wabbit, with crossed features of context and action, in passes over a round."""

    passes = 4

    def __init__(self, seed: int, exploration: str) -> None:
        from vowpalwabbit import Workspace  # type: ignore[import-untyped]

        self._rng = np.random.default_rng(seed)
        self._workspace = Workspace(
            f"--cb_explore_adf {exploration} --cb_type mtr -q CA -q AA --random_seed {seed} --quiet",
            enable_logging=False,
        )
        self._served: list[tuple[Request, NDArray[np.float64]]] = []

    def serve(self, requests: Sequence[Request]) -> list[NDArray[np.float64]]:
        self._served = []
        for request in requests:
            scores = np.array(self._workspace.predict(_example(request)), np.float64)
            self._served.append((request, scores / scores.sum()))
        return [probabilities for _, probabilities in self._served]

    def learn(self, choices: Sequence[int], rewards: Sequence[float]) -> None:
        examples = [
            _example(request, (choice, reward, float(probabilities[choice])))
            for (request, probabilities), choice, reward in zip(self._served, choices, rewards, strict=True)
        ]
        for _ in range(self.passes):
            for index in self._rng.permutation(len(examples)):
                self._workspace.learn(examples[index])


def _example(request: Request, decision: tuple[int, float, float] | None = None) -> str:
    """Return an example as text; `decision` is the choice, its reward and its propensity. The cost is -reward."""
    lines = [f"shared |C constant:1 {_features(request['context'])}"]
    for place, action in enumerate(request["actions"]):
        label = f"0:{-decision[1]:.3f}:{decision[2]:.6f} " if decision and decision[0] == place else ""
        lines.append(f"{label}|A {_features({name: value for name, value in action.items() if name != 'id'})}")
    return "\n".join(lines)


def _features(values: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={value}" if isinstance(value, str) else f"{name}:{value:.5f}" for name, value in values.items()
    )
