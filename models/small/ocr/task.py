"""The `ocr` task: from an image of a line to its text. Needs only numpy, Pillow and rapidfuzz."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from models.base import Asked, Decoded, EvaluatedSample, Features, Rejected, Sample, Shapes, Task
from models.nn.ctc_policy import serve
from models.nn.exploration import checked_share
from models.small.ocr.data import lines
from models.small.ocr.images import MAX_WIDTH, has_content, normalise, read_image
from models.small.ocr.metrics import DIGITS, PRINTED, Read, figures
from models.small.ocr.symbols import decode, unknown_symbols

WIDTHS = (64, 96, 128, 192, 256, 384, 512, 768, MAX_WIDTH)
"""What lines are padded to: finer steps would waste less computing, coarser ones make fuller batches."""
MAX_TEXT = 200
_CONFIDENCE_WITHOUT_CONTENT = 0.1
"""That there was nothing to read is seldom why a picture was sent."""


class Ocr(Task):
    """Reads lines of handwritten digits and of printed letters, digits and spaces.

    Features: `image` uint8 (24, width), ink 255 on paper 0, and `width` int32 (). The model's inputs are the same with
    a batch dimension in front; its outputs are `log_probs` float32 (batch, frames, classes) and `length` int32
    (batch,), the frames that count.
    """

    name: ClassVar[str] = "ocr"
    preprocess_version: ClassVar[str] = "1"
    error_name: ClassVar[str] = "CER"
    trainer: ClassVar[str | None] = "models.small.ocr.train:train"
    off_policy_evaluator: ClassVar[str | None] = "models.small.ocr.off_policy:evaluate_versions"
    max_payload_bytes: ClassVar[int] = 8 * 1024 * 1024

    def __init__(self, explore: float = 0.0) -> None:
        """Draw the text of the share `explore` of the traffic from the network's distribution, to learn from rewards.

        Raises `ValueError` for an invalid share.
        """
        self.explore = checked_share(explore)

    def preprocess(self, payload: bytes) -> Features:
        """Return the line's ink, 24 pixels high. Raises `Rejected`."""
        image = normalise(read_image(payload))
        return {"image": image, "width": np.array(image.shape[1], np.int32)}

    def padded(self, shapes: Shapes) -> Shapes:
        """Round widths up to the next of a few, so that lines of about the same length share a batch."""
        height, width = shapes["image"]
        return {**shapes, "image": (height, next(padded for padded in WIDTHS if width <= padded))}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the text of each line's best path, or one that is drawn; with the probability that all of it is right.

        That is calibrated for the best path. The propensity is exact, see `models.nn.ctc_policy.serve`. A picture
        without content (no contrast) is left to a reviewer.
        """
        rngs = [one.rng() for one in asked] if self.explore else []
        served = serve(outputs["log_probs"], outputs["length"], self.explore, rngs)
        return [
            Decoded({"text": decode(line.labels)}, _confidence(line.probability, event), line.propensity)
            for line, event in zip_longest(served, asked)
        ]

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"text": ...}` of known symbols, without space at its ends. Raises `Rejected`."""
        unknown = sorted(str(key) for key in correction if key != "text")
        if unknown:
            raise Rejected("unknown_field", f"unknown fields: {', '.join(unknown)}; a correction is {{'text': '...'}}")
        text = correction.get("text")
        if not isinstance(text, str):
            raise Rejected("missing_text", "a correction is {'text': '...'}: `text` must be a string")
        text = text.strip(" ")
        if len(text) > MAX_TEXT:
            raise Rejected("text_too_long", f"{len(text)} symbols: a line has at most {MAX_TEXT}")
        if unreadable := unknown_symbols(text):
            raise Rejected(
                "unknown_symbol", f"this model has no symbol for {unreadable!r}: it reads 0-9, A-Z, a-z and space"
            )
        return {"text": text}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 - character error rate, at least 0: edits (Levenshtein) over the length of the true text."""
        truth, text = correction["text"], output["text"]
        edits = Levenshtein.distance(text, truth)
        return max(0.0, 1.0 - edits / max(1, len(truth)))

    def samples(self) -> Sequence[Sample]:
        """Return real files: lines of held-out digit scans and printed lines in fonts never seen in training."""
        return lines.shipped_samples()

    def demonstration(self, seed: int) -> Iterator[Sample]:
        """Yield new lines of held-out digit scans, and now and then a shipped printed line."""
        return lines.stream(seed)

    def drifted(self, seed: int) -> Iterator[Sample]:
        """Return lines in a font never seen, slanted far (of the `train` group)."""
        from models.small.ocr.data.drifted import italics  # only here: serving needs no fonts

        return italics(np.random.default_rng(seed))

    def held_out(self) -> Iterator[Sample]:
        """Yield 1,500 lines of held-out digit scans, and 1,500 printed in fonts never seen (of the `train` group)."""
        from models.small.ocr.data import generation  # only here: serving needs none of the training libraries

        for group, kind in ((DIGITS, "digits"), (PRINTED, "printed")):
            for number, (image, text) in enumerate(generation.held_out(kind)):
                yield Sample(f"{kind}-{number:04}.png", lines.png(image), "image/png", {"text": text}, group)

    def figures(self, judged: Sequence[EvaluatedSample]) -> dict[str, float]:
        """Return character error rate, lines right, calibration error and size of each group."""
        read: dict[str, list[Read]] = {}
        for one in judged:
            line = Read(one.decoded.output["text"], one.decoded.confidence, one.sample.correction["text"])
            read.setdefault(one.sample.group, []).append(line)
        return figures(read)


def _confidence(probability: float, event: Asked | None) -> float:
    """Return the confidence in a line; of lines to calibrate on there are no events."""
    seen = event is None or has_content(event.features["image"])
    return probability if seen else min(probability, _CONFIDENCE_WITHOUT_CONTENT)
