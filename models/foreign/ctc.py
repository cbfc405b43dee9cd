"""The kind of task that reads a text by connectionist temporal classification (Graves et al., ICML 2006)."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from models.base import Asked, Decoded, Rejected
from models.foreign.task import ForeignTask

MAX_TEXT = 10_000
_SHAPE = "a correction is {'text': '...'}"


class Ctc(ForeignTask):
    """Answers `{"text": ...}`, of the symbols in the manifest. Those that are no text, as the blank, are "" there."""

    error_name: ClassVar[str] = "CER"

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the text of each best path: symbols that are repeated in neighbouring frames count once.

        The confidence is the path's probability, with frames taken to be independent, and at most the text's.
        """
        return [
            Decoded({"text": self._text(path[likely > 0].tolist())}, float(likely[likely > 0].prod(dtype=np.float64)))
            for path, likely in zip(outputs["symbols"], outputs["probabilities"], strict=True)  # 0 is padding
        ]

    def _text(self, path: list[int]) -> str:
        names = self.class_names()
        return " ".join("".join(names[symbol] for symbol, _ in groupby(path)).split())

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"text": ...}` with single spaces. Symbols that the model does not know are taken.

        Raises `Rejected`: `unknown_field`, `missing_text`, `text_too_long`.
        """
        if unknown := sorted(str(key) for key in correction if key != "text"):
            raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; {_SHAPE}")
        text = correction.get("text")
        if not isinstance(text, str):
            raise Rejected("missing_text", f"{_SHAPE}: `text` must be a string")
        if len(text) > MAX_TEXT:
            raise Rejected("text_too_long", f"{len(text)} characters: at most {MAX_TEXT} are taken")
        return {"text": " ".join(text.split())}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 - character error rate, at least 0: edits (Levenshtein) over the length of the true text."""
        truth = correction["text"]
        return max(0.0, 1.0 - Levenshtein.distance(output["text"], truth) / max(1, len(truth)))
