"""Sources that shipped models are bad at, and what the platform serves of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.drifted import ocr, speech_to_text
from models.base import Judged, Sample, Task
from models.ocr import Ocr
from models.speech_to_text import SpeechToText


@dataclass(frozen=True)
class Source:
    """Where the task's shipped version is bad: `count` samples by seed, and how they are judged."""

    task: Callable[[float], Task]
    """By the share of outputs that are drawn."""
    samples: Callable[[int, int], list[Sample]]
    right: Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
    """Whether a person would say that an output is right, given the truth."""
    error: Callable[[Sequence[Judged]], float]
    error_name: str


SOURCES = {
    "ocr": Source(Ocr, ocr.samples, ocr.right, ocr.error, "CER"),
    "speech_to_text": Source(SpeechToText, speech_to_text.samples, speech_to_text.right, speech_to_text.error, "WER"),
}
