"""The `decision` task: from a context and actions to the choice of one. Needs only numpy."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, EvaluatedSample, Features, Rejected, Sample, Shapes, Task
from models.decision.data import simulator
from models.decision.exploration import PARTS, Exploration, Kind
from models.decision.guardrails import caps_of, read_caps
from models.decision.request import PADDED_COUNTS, action_id, encode, ids_of, read_request, unknown_features
from models.decision.schema import SHIPPED, Schema
from models.decision.slates import check_positions, draw_slate, positions_of

_OUTPUT = ("action", "probabilities", "slate", "propensities")


class Decision(Task):
    """Chooses one of 1 to 1,000 actions, with a probability that is logged, and learns from rewards.

    A request is `{"context": {...}, "actions": [{"id": "...", ...}]}` with the features that the schema names. Its
    tensors, for n actions: `context` float32 (c,), the first always 1; `actions` float32 (n, a); for `decode` alone
    `ids` uint8 (bytes,), all ids in UTF-8, and `offsets` int32 (n + 1,), where each begins and ends. A value that its
    category does not list is none of those; features that the schema lacks are left out, and `ignored` int32 (1,) is
    their number, if there are any.

    A decision may be a step of an episode, of those whose later rewards depend on earlier choices: the request then has
    `"episode_id": "..."` and `"step": 0` (and 1, 2, ...) as well. Each reward is of its own step. All requests of an
    episode are published with one key, the episode's or that of whom it is about: so they keep their order, and are
    in one split of a dataset. Its tensors are `episode` uint8 (bytes,), the id in UTF-8, and `step` int32 (1,).

    A request may say which actions may be chosen: by `"allowed": [ids]`, `"forbidden": [ids]`, or both. The others have
    the probability 0, and propensities are exact over the rest. Where that, or `max_shares`, caps an action's
    probability, the request's tensors have `caps` float32 (n,).

    A request with `"positions": k` asks for a slate of k distinct actions (`models.decision.slates`). Its output has
    `slate`, their ids, and `propensities`, of each position given those before; `action` and `probabilities` are of the
    first position. The prediction's propensity is their product, its confidence the mean. Its tensors have `positions`
    int32 (1,). Feedback names a reward's `position`, from 1.

    The model takes `context` (batch, c) and `actions` (batch, n, a), and gives float32: `logits` (batch, n), or
    (batch, K, n) of K heads, and `rewards` (batch, n), the expected reward (in episodes, return) as a share of the
    range that the model was trained on. Both are of each action by itself, so that padding changes nothing and needs no
    mask.

    Options: `exploration`, `temperature`, `epsilon` and `floor` as of `Exploration`; `schema`, a file instead of the
    one that ships (`Schema`); `gamma`, what a reward is worth a step earlier in its episode; `max_shares`, the largest
    probability that a decision may give to an action, by its id. A schema has models of its own. `half_life`, in
    decisions of the split `train`: how much older a decision is that counts half as much in training; by default
    training chooses it by what predicts the newest rewards (`models.decision.training.history`).
    """

    name: ClassVar[str] = "decision"
    preprocess_version: ClassVar[str] = "1"
    trainer: ClassVar[str | None] = "models.decision.train:train"
    off_policy_evaluator: ClassVar[str | None] = "models.decision.off_policy:evaluate_versions"

    def __init__(
        self,
        exploration: Kind = "softmax",
        temperature: float = 1.0,
        epsilon: float = 0.1,
        floor: float = 0.002,
        schema: str | None = None,
        gamma: float = 0.99,
        max_shares: Mapping[str, float] = MappingProxyType({}),
        half_life: float | None = None,
    ) -> None:
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma is {gamma}; a number from 0 to 1 is needed")
        if wrong := {action: share for action, share in max_shares.items() if not 0 <= share <= 1}:
            raise ValueError(f"max_shares has {wrong}; shares from 0 to 1 are needed")
        if half_life is not None and not half_life > 0:
            raise ValueError(f"half_life is {half_life}; a number of decisions above 0 is needed")
        self.max_shares = dict(max_shares)
        self.gamma, self.half_life = gamma, half_life
        self.exploration = Exploration(exploration, temperature, epsilon, floor)
        self.schema = Schema.load(SHIPPED if schema is None else Path(schema))
        self._simulated = self.schema == Schema.load(SHIPPED)

    def preprocess(self, payload: bytes) -> Features:
        """Return the numbers of context and actions, and the actions' ids. Raises `Rejected`."""
        request = read_request(payload)
        features = encode(self.schema, request)
        caps = read_caps(request, ids_of(features), self.max_shares)
        features |= check_positions(request.positions, caps)
        return features | ({"caps": caps} if (caps < 1).any() else {})

    def inputs(self, features: Features) -> Features:
        """Return context and actions; ids and step are for `decode` alone."""
        return {"context": features["context"], "actions": features["actions"]}

    def summary(self, features: Features) -> dict[str, float]:
        """Return each feature of the context, the means of the actions' features, and how many actions there are."""
        context = zip(self.schema.context.names, features["context"][1:].tolist(), strict=True)
        means = zip(self.schema.actions.names, features["actions"].mean(axis=0).tolist(), strict=True)
        return (
            {f"context.{name}": value for name, value in context}
            | {f"actions.{name}": value for name, value in means}
            | {"actions": float(len(features["actions"]))}
        )

    def unknown_values(self, features: Features) -> Mapping[str, int]:
        """Return how many values are in none of their category; as `other`, how many features no schema names."""
        return unknown_features(self.schema, features)

    def padded(self, shapes: Shapes) -> Shapes:
        """Return the number of actions rounded up to the next of a few."""
        count, columns = shapes["actions"]
        return {**shapes, "actions": (next(padded for padded in PADDED_COUNTS if count <= padded), columns)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return an action of each request, drawn by the prediction's own random generator.

        `propensity` is the probability with which it was drawn. `confidence` is the action's expected reward as a
        share of the range of rewards: where a reward says right (the highest) or wrong (the lowest), it is the
        probability of being right. Raises `ValueError` for scores that are not finite.
        """
        return [
            self._chosen(logits, rewards, request)
            for logits, rewards, request in zip(outputs["logits"], outputs["rewards"], asked, strict=True)
        ]

    def _chosen(self, logits: NDArray[Any], rewards: NDArray[Any], asked: Asked) -> Decoded:
        ids = ids_of(asked.features)
        logits = logits[..., : len(ids)]
        if not (np.isfinite(logits).all() and np.isfinite(rewards[: len(ids)]).all()):
            raise ValueError("the model's scores are not finite")
        positions = positions_of(asked.features)
        slate = draw_slate(self.exploration, logits, caps_of(asked.features), positions or 1, asked.rng())
        probabilities = dict(zip(ids, (slate.first / PARTS).tolist(), strict=True))
        output: dict[str, Any] = {"action": ids[slate.places[0]], "probabilities": probabilities}
        if positions is not None:
            output |= {"slate": [ids[place] for place in slate.places], "propensities": list(slate.propensities)}
        expected = float(rewards[list(slate.places)].mean())
        return Decoded(output, min(1.0, max(0.0, expected)), slate.propensity)

    def at_minimum_propensity(self, decoded: Decoded) -> bool:
        """Return whether the action was drawn with the minimum probability that exploration gives to any action."""
        probabilities: dict[str, float] = decoded.output["probabilities"]
        allowed = sum(probability > 0 for probability in probabilities.values())
        propensity = decoded.output.get("propensities", [decoded.propensity])[0]
        return bool(propensity <= self.exploration.least(allowed) / PARTS < max(probabilities.values()))

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"action": id}`, the right action; other fields of an output are ignored. Raises `Rejected`."""
        unknown = sorted(str(key) for key in correction if key not in _OUTPUT)
        if unknown:
            raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; a correction is {{'action': 'id'}}")
        if "action" not in correction:
            raise Rejected("missing_action", "a correction is {'action': 'id'}: the id of the action that was right")
        return {"action": action_id(correction["action"], "`action` of a correction").decode()}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1.0 for the right action, 0.0 for any other."""
        return float(output["action"] == correction["action"])

    def samples(self) -> Sequence[Sample]:
        """Return real requests of the simulated problem; none with another schema."""
        return simulator.shipped_samples() if self._simulated else []

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Return new requests of the simulated problem without end; none with another schema."""
        return simulator.stream(seed) if self._simulated else iter(())

    def reward(self, sample: Sample, output: Mapping[str, Any], rng: np.random.Generator) -> float | None:
        """Return whether the simulated visitor takes the offer: 1.0 or 0.0."""
        return simulator.reward(sample, output, rng)

    def held_out(self) -> Iterator[Sample]:
        """Return visitors that no training sees."""
        return simulator.held_out() if self._simulated else iter(())

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return the policy's reward and regret, exact over its probabilities, and the calibration error."""
        return simulator.figures(judged)
