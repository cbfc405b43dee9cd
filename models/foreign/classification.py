"""The kind of task that gives an input one of several classes."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from models.base import Asked, Decoded
from models.foreign.corrections import checked_class
from models.foreign.task import ForeignTask


class Classification(ForeignTask):
    """Answers `{"label": ...}`, of the classes in the manifest."""

    error_name: ClassVar[str] = "error rate"

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the most probable class of each event; its probability, as the model gives it, is the confidence."""
        names, table = self.class_names(), outputs["probabilities"]
        return [
            Decoded({"label": names[place]}, float(probabilities[place]))
            for probabilities, place in zip(table, table.argmax(axis=1).tolist(), strict=True)
        ]

    def labels(self) -> Sequence[str]:
        """Return the classes."""
        return self.class_names()

    def classes(self, output: Mapping[str, Any]) -> Sequence[str]:
        """Return the class."""
        return (output["label"],)

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"label": ...}` of a known class. Raises `Rejected`."""
        return {"label": checked_class(correction, "label", self.class_names())}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 for the right class, else 0."""
        return float(output["label"] == correction["label"])
