"""The kind of task that chooses an action by a foreign model's values, with a known probability."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded
from models.decision.exploration import PARTS, Exploration, Kind, draw
from models.foreign.corrections import checked_class
from models.foreign.task import ForeignTask


class Bandit(ForeignTask):
    """Answers `{"action": ..., "probabilities": {...}}`, of the actions in the manifest's labels.

    Options: `exploration`, `temperature`, `epsilon` and `floor` of `models.decision.exploration.Exploration`.
    """

    off_policy_evaluator: ClassVar[str | None] = "models.foreign.off_policy:evaluate_versions"

    def __init__(
        self,
        exploration: Kind = "epsilon-greedy",
        temperature: float = 1.0,
        epsilon: float = 0.1,
        floor: float = 0.002,
    ) -> None:
        self.exploration = Exploration(exploration, temperature, epsilon, floor)

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return an action of each request, drawn by the prediction's own random generator.

        `propensity` is the probability with which it was drawn; the confidence is its value, cut to 0 to 1: for a
        model that gives a probability of success it is that. Raises `ValueError` for values that are not finite.
        """
        return [self._chosen(values, event) for values, event in zip(outputs["values"], asked, strict=True)]

    def _chosen(self, values: NDArray[Any], event: Asked) -> Decoded:
        names, parts = self.class_names(), self.parts(values)
        place = draw(parts, event.rng())
        probabilities = dict(zip(names, (parts / PARTS).tolist(), strict=True))
        confidence = float(np.clip(values[place], 0.0, 1.0))
        output = {"action": names[place], "probabilities": probabilities}
        return Decoded(output, confidence, probabilities[names[place]])

    def parts(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the probability of each action in parts of `PARTS`, given the model's values. Raises `ValueError`."""
        if not np.isfinite(values).all():
            raise ValueError("the model's values are not finite")
        return self.exploration.parts(values)

    def at_minimum_propensity(self, decoded: Decoded) -> bool:
        """Return whether the action was drawn with the minimum probability that exploration gives to any action."""
        probabilities: Sequence[float] = list(decoded.output["probabilities"].values())
        return decoded.propensity == min(probabilities) < max(probabilities)

    def labels(self) -> Sequence[str]:
        """Return the actions."""
        return self.class_names()

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"action": ...}`, the action that was right. Raises `Rejected`."""
        return {"action": checked_class(correction, "action", self.class_names(), ("probabilities",))}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 for the right action, else 0."""
        return float(output["action"] == correction["action"])
