"""Versions of `ocr`: fitted to synthetic lines, or from a parent to the feedback of a dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import onnx

from models.base import OnStep
from models.nn import ctc_evaluation as evaluation
from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal
from models.nn.ctc import LabelledSignal
from models.nn.ctc_batches import CtcFittingPlan
from models.nn.ctc_trainer import CtcTrainer, TrainingData
from models.nn.onnx_inference import session
from models.small.ocr import metrics, symbols
from models.small.ocr.data.fonts import FAMILIES, Split
from models.small.ocr.data.generation import HELD_OUT_LINES, HELD_OUT_SEED, SCAN_SHARES, digit_scans, make_lines
from models.small.ocr.metrics import DIGITS, PRINTED, Read
from models.small.ocr.training.network import FINE_PLAN, NETWORK, PLAN, SIGNAL


@dataclass(frozen=True)
class Sizes:
    """How many lines are made: for a training from scratch, to be rehearsed, and to be measured on."""

    train_digits: int = 15_000
    train_printed: int = 16_000
    validation: int = 1_000
    """Of each kind, as all that follow."""
    rehearsed: int = 700
    rehearsed_validation: int = 150
    held_out: int = HELD_OUT_LINES


@dataclass(frozen=True)
class OcrTrainer(CtcTrainer):
    """Lines of digit scans and of printed text, by seed; symbols and error rate are characters."""

    network: ConvCtc = NETWORK
    plan: CtcFittingPlan = PLAN
    fine_plan: CtcFittingPlan = FINE_PLAN
    sizes: Sizes = Sizes()
    signal: ClassVar[Signal] = SIGNAL
    symbols: ClassVar[str] = symbols.SYMBOLS
    error_name: ClassVar[str] = "cer"

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's symbols. Raises `KeyError` for a symbol that isn't known."""
        return symbols.encode(text)

    def decode(self, labels: Sequence[int]) -> str:
        """Return the text of such numbers."""
        return symbols.decode(labels)

    def error_rate(self, pairs: Sequence[tuple[str, str]]) -> float:
        """Return the character error rate of all lines together."""
        return metrics.character_error_rate(pairs)

    def synthetic(self, seed: int, on_step: OnStep) -> TrainingData:
        """Make lines of both kinds for training and validation."""
        on_step("making lines", 0, None)
        digits, printed, validation = self.sizes.train_digits, self.sizes.train_printed, self.sizes.validation
        return TrainingData(_lines("train", digits, printed, seed), _lines("validation", validation, validation, seed))

    def rehearsal(self, seed: int, on_step: OnStep) -> TrainingData:
        """Make fewer lines such as the parent was fitted to."""
        on_step("making lines", 0, None)
        train, validation = self.sizes.rehearsed, self.sizes.rehearsed_validation
        return TrainingData(_lines("train", train, train, seed), _lines("validation", validation, validation, seed))

    def data_card(self, data: TrainingData) -> dict[str, Any]:
        """Name scans, fonts and texts, how they are split, and their licences."""
        return {
            "digit scans": "scikit-learn load_digits: 1,797 scans of 8 x 8, split by scan index",
            "scan shares": {split: list(share) for split, share in SCAN_SHARES.items()},
            "scans": {split: len(digit_scans(split).digits) for split in SCAN_SHARES},
            "fonts": {split: [family.name for family in families] for split, families in FAMILIES.items()},
            "texts": "words, numbers and codes (models/small/ocr/data/words.py); codes without I and O",
            "lines": {"train": len(data.train), "validation": len(data.validation), "test": 2 * self.sizes.held_out},
            "licence of data": {
                "load_digits": "CC BY 4.0 (UCI Machine Learning Repository, Optical Recognition of Handwritten Digits)",
                **{family.name: family.licence for families in FAMILIES.values() for family in families},
            },
        }

    def figures(self, model: onnx.ModelProto) -> dict[str, float]:
        """Measure a model on the first lines of each kind of the held-out set."""
        served = session(model.SerializeToString())
        figures = metrics.figures({group: self._read(served, lines) for group, lines in self._held_out.items()})
        return {name: round(value, 5) for name, value in figures.items()}

    def _read(self, served: Any, lines: Sequence[LabelledSignal]) -> list[Read]:
        decoded = evaluation.predictions(self.task, evaluation.outputs(served, self.task, self.signal, lines))
        return [
            Read(prediction.output["text"], prediction.confidence, line.text)
            for prediction, line in zip(decoded, lines, strict=True)
        ]

    @cached_property
    def _held_out(self) -> Mapping[str, list[LabelledSignal]]:
        kinds = {DIGITS: "digits", PRINTED: "printed"}
        return {group: make_lines(kind, "test", self.sizes.held_out, HELD_OUT_SEED) for group, kind in kinds.items()}


def _lines(split: Split, digits: int, printed: int, seed: int) -> list[LabelledSignal]:
    return make_lines("digits", split, digits, seed) + make_lines("printed", split, printed, seed)
