"""A task for tests that need no real model: its features are the bytes of the payload."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Asked, Decoded, Features, Rejected, Sample, Task
from tests.support.pages import PAGES


class Letters(Task):
    """Read ASCII text. Some words are special: `die` crashes natively, `bug` raises, the model refuses `refuse`.

    A PDF file has the lines of `PAGES`, as a task that reads pages would answer.
    """

    name = "letters"
    preprocess_version = "1"

    def preprocess(self, payload: bytes) -> Features:
        if payload == b"die":
            ctypes.string_at(0)
        if payload == b"bug":
            raise KeyError("bug")
        if payload == b"refuse":
            return {"letters": np.zeros(3, np.float32)}
        if not payload.isascii():
            raise Rejected("not_ascii", "the payload is not ASCII text")
        return {"letters": np.frombuffer(payload, np.uint8)}

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        return [
            Decoded(PAGES if event.features["letters"][:5].tobytes() == b"%PDF-" else {"sum": float(value)}, 1.0)
            for value, event in zip(outputs["sum"], asked, strict=True)
        ]

    def validate_correction(self, correction: Mapping[str, Any]) -> dict[str, Any]:
        return dict(correction)

    def score(self, output: Mapping[str, Any], correction: Mapping[str, Any]) -> float:
        return float(output == correction)

    def samples(self) -> Sequence[Sample]:
        return [Sample("abc", b"abc", "text/plain", {"sum": 294.0})]


class LettersAnew(Letters):
    """The task with a later version of its preprocessing."""

    preprocess_version = "2"

    def preprocess(self, payload: bytes) -> Features:
        return {"letters": super().preprocess(payload)["letters"][::-1]}
