"""The network that scores an action in a context, bilinear with a small hidden layer, and its export to ONNX.

score(x, a) = x' B a + v' tanh(C'x + A'a) + b, with x and a standardised. Each action is scored by itself.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import onnx
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit

from models.decision.schema import Schema
from models.nn.onnx_graph import Graph, stored_arrays

Parameters = dict[str, Any]
"""`bilinear` (c, a), `hidden_context` (c, h), `hidden_actions` (a, h), `out` (h,), `bias` (): float32."""
Floats = NDArray[np.float32]
HIDDEN = 32
LIMIT = 8.0
"""Standard deviations beyond which a number counts as this far away: an outlier can't dominate a score."""


@dataclass(frozen=True)
class Scale:
    """The scale that standardises numbers: (x - mean) / deviation, at most `LIMIT` away from 0."""

    context_mean: NDArray[np.float32]
    context_deviation: NDArray[np.float32]
    actions_mean: NDArray[np.float32]
    actions_deviation: NDArray[np.float32]

    def context(self, context: Any) -> Any:
        """Standardise a context."""
        return np.clip((context - self.context_mean) / self.context_deviation, -LIMIT, LIMIT)

    def actions(self, actions: Any) -> Any:
        """Standardise actions."""
        return np.clip((actions - self.actions_mean) / self.actions_deviation, -LIMIT, LIMIT)


@dataclass(frozen=True)
class Network:
    """A policy and a reward model of the same form; the reward model's scores are divided by a temperature.

    `reward_range` is the lowest and the highest reward that they were trained on. What is served as `logits` depends on
    the exploration: the policy's scores; with a `gamma`, gamma times the expected reward; with `heads`, their scores.
    """

    policy: Parameters
    rewards: Parameters
    scale: Scale
    temperature: float
    reward_range: tuple[float, float]
    schema: dict[str, Any]
    gamma: float | None = None
    """Of SquareCB (`models.decision.training.heads`)."""
    heads: Sequence[Parameters] = ()
    """K reward models, each of a bootstrap sample."""

    def expected(self, context: Floats, actions: Floats) -> Floats:
        """Return the expected rewards (N, n), as shares of their range, from standardised context and actions."""
        shares: Floats = expit(scores(self.rewards, context, actions) / np.float32(self.temperature))
        return shares

    def logits(self, context: Floats, actions: Floats) -> Floats:
        """Return what is served as `logits`, (N, n) or (N, K, n), from standardised context and actions."""
        if self.heads:
            return np.stack([scores(head, context, actions) for head in self.heads], axis=1)
        if self.gamma is not None:
            return np.float32(self.gamma) * self.expected(context, actions)
        served: Floats = scores(self.policy, context, actions)
        return served

    def to_onnx(self) -> onnx.ModelProto:
        """Export: inputs `context` (batch, c), `actions` (batch, n, a); outputs `rewards` (batch, n), `logits`.

        The policy is in the file even where its scores are not served: a later training starts from it.
        """
        graph = Graph("decision")
        columns, width = self.policy["bilinear"].shape
        context = graph.input("context", np.float32, ["batch", columns])
        actions = graph.input("actions", np.float32, ["batch", "actions", width])
        context = _standardised(graph, context, "context", self.scale)
        actions = _standardised(graph, actions, "actions", self.scale)
        policy = _scored(graph, "policy", self.policy, context, actions)
        value = _scored(graph, "rewards", self.rewards, context, actions)
        temperature = graph.constant(np.array(self.temperature, np.float32), "temperature")
        value = graph.add("Sigmoid", graph.add("Div", value, temperature))
        logits, more = policy, []
        if self.heads:
            middle = graph.constant(np.array([1]))
            heads = [_scored(graph, f"head.{k}", head, context, actions) for k, head in enumerate(self.heads)]
            logits = graph.add("Concat", *(graph.add("Unsqueeze", head, middle) for head in heads), axis=1)
            more = [len(heads)]
        elif self.gamma is not None:
            logits = graph.add("Mul", value, graph.constant(np.array(self.gamma, np.float32), "gamma"))
        graph.output("logits", logits, np.float32, ["batch", *more, "actions"])
        graph.output("rewards", value, np.float32, ["batch", "actions"])
        metadata = {"schema": json.dumps(self.schema), "reward_range": json.dumps(self.reward_range)}
        return graph.model({"task": "decision", **metadata})

    @classmethod
    def from_onnx(cls, model: onnx.ModelProto) -> Self:
        """Read what `to_onnx` wrote. Raises `KeyError` for another model."""
        arrays = stored_arrays(model)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        count = sum(name.startswith("head.") for name in arrays) // len(_NAMES)
        policy, rewards, *heads = (
            {name: arrays[f"{of}.{name}"] for name in _NAMES}
            for of in ("policy", "rewards", *(f"head.{k}" for k in range(count)))
        )
        scale = Scale(*(arrays[f"scale.{field.name}"] for field in fields(Scale)))
        low, high = json.loads(metadata["reward_range"])
        gamma = float(arrays["gamma"]) if "gamma" in arrays else None
        temperature, schema = float(arrays["temperature"]), json.loads(metadata["schema"])
        return cls(policy, rewards, scale, temperature, (low, high), schema, gamma, heads)


_NAMES = ("bilinear", "hidden_context", "hidden_actions", "out", "bias")


def initial(columns: int, width: int, rng: Generator, bias: float = 0.0) -> Parameters:
    """Return weights that score all actions alike: a uniform policy, whose hidden layer can learn all the same."""
    return {
        "bilinear": np.zeros((columns, width), np.float32),
        "hidden_context": rng.normal(0, columns**-0.5, (columns, HIDDEN)).astype(np.float32),
        "hidden_actions": rng.normal(0, width**-0.5, (width, HIDDEN)).astype(np.float32),
        "out": np.zeros(HIDDEN, np.float32),
        "bias": np.array(bias, np.float32),
    }


def untrained(schema: Schema) -> Network:
    """Return the network that serves a schema before there is a log: it scores all actions alike."""
    columns, width = 1 + schema.context.columns, schema.actions.columns
    unit = Scale(*(of(size, np.float32) for size in (columns, width) for of in (np.zeros, np.ones)))
    alike = initial(columns, width, np.random.default_rng(0))
    return Network(alike, alike, unit, 1.0, (0.0, 1.0), schema.described())


def scores(parameters: Parameters, context: Any, actions: Any) -> Any:
    """Score actions: (N, n) from standardised context (N, c) and actions (N, n, a), of numpy or of JAX.

    JAX compiles each operation for each new N: outside of training numpy is faster.
    """
    tanh = jnp.tanh if isinstance(context, jax.Array) else np.tanh
    bilinear = (actions @ (context @ parameters["bilinear"])[:, :, None])[:, :, 0]
    hidden = tanh((context @ parameters["hidden_context"])[:, None] + actions @ parameters["hidden_actions"])
    return bilinear + hidden @ parameters["out"] + parameters["bias"]


def _standardised(graph: Graph, value: str, name: str, scale: Scale) -> str:
    mean, deviation = (
        graph.constant(getattr(scale, f"{name}_{of}"), f"scale.{name}_{of}") for of in ("mean", "deviation")
    )
    value = graph.add("Div", graph.add("Sub", value, mean), deviation)
    return graph.add("Clip", value, graph.scalar(-LIMIT, np.float32), graph.scalar(LIMIT, np.float32))


def _scored(graph: Graph, name: str, parameters: Parameters, context: str, actions: str) -> str:
    weights = {key: graph.constant(np.asarray(parameters[key]), f"{name}.{key}") for key in _NAMES}
    last, middle = graph.constant(np.array([2])), graph.constant(np.array([1]))
    towards = graph.add("Unsqueeze", graph.add("MatMul", context, weights["bilinear"]), last)
    bilinear = graph.add("Squeeze", graph.add("MatMul", actions, towards), last)
    of_context = graph.add("Unsqueeze", graph.add("MatMul", context, weights["hidden_context"]), middle)
    hidden = graph.add("Tanh", graph.add("Add", of_context, graph.add("MatMul", actions, weights["hidden_actions"])))
    score = graph.add("Add", bilinear, graph.add("MatMul", hidden, weights["out"]))
    return graph.add("Add", score, weights["bias"])
