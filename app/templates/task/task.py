"""The task: from a line of text to whether it asks something. `models/base.py` says what each method owes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, Features, Rejected, Sample, Task

from .lines import HELD_OUT, LABELS, TRAINING


class NewTask(Task):
    """Take UTF-8 text and answer `{"label": "question"}` or `{"label": "statement"}`.

    Features: `shares` float32 (256,), of each byte in the text. The model's input is the same with a batch dimension in
    front; its output is `probabilities` float32 (batch, 2), one for each of `LABELS`.
    """

    name: ClassVar[str] = "new_task"
    preprocess_version: ClassVar[str] = "1"
    max_payload_bytes: ClassVar[int] = 64 * 1024
    error_name: ClassVar[str] = "error rate"
    trainer: ClassVar[str | None] = f"{__package__}.train:train"
    """Without this line a task only predicts."""

    def preprocess(self, payload: bytes) -> Features:
        """Return the share of each byte. Raises `Rejected`: `not_utf8`, `blank`."""
        try:
            text = payload.decode().strip()
        except UnicodeDecodeError as error:
            raise Rejected("not_utf8", f"the payload is not UTF-8 text: {error}") from None
        if not text:
            raise Rejected("blank", "there is nothing but white space in the text")
        counts = np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=256)
        return {"shares": (counts / counts.sum()).astype(np.float32)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        """Return the more probable label of each text; its probability is the confidence."""
        probabilities = outputs["probabilities"]
        best = probabilities.argmax(axis=1)
        return [
            Decoded({"label": LABELS[label]}, float(of_text[label]))
            for of_text, label in zip(probabilities, best, strict=True)
        ]

    def labels(self) -> Sequence[str]:
        """Return what a line may be labelled as."""
        return LABELS

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        """Return `{"label": ...}` with one of `LABELS`. Raises `Rejected`."""
        if correction.keys() != {"label"} or correction["label"] not in LABELS:
            raise Rejected("bad_correction", f"a correction is {{'label': ...}} with one of {', '.join(LABELS)}")
        return {"label": correction["label"]}

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        """Return 1 for the right label, else 0."""
        return float(output["label"] == correction["label"])

    def samples(self) -> Sequence[Sample]:
        """Return the lines that the model was trained on."""
        return list(_samples("training", TRAINING))

    def held_out(self) -> Iterator[Sample]:
        """Return the lines that it was not."""
        return _samples("held_out", HELD_OUT)


def _samples(group: str, lines: Iterable[tuple[str, str]]) -> Iterator[Sample]:
    for number, (text, label) in enumerate(lines):
        yield Sample(f"{group}-{number}.txt", text.encode(), "text/plain", {"label": label}, group)
