"""Versions of `speech_to_text`: fitted to synthetic speech, or from a parent to the feedback of a dataset."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import onnx

from models.base import OnStep
from models.nn.conv_ctc import ConvCtc
from models.nn.conv_ctc_onnx import Signal
from models.nn.ctc_batches import CtcFittingPlan
from models.nn.ctc_trainer import CtcTrainer, TrainingData
from models.nn.onnx_inference import judge, session
from models.small.speech_to_text import symbols
from models.small.speech_to_text.data.generation import make_split
from models.small.speech_to_text.data.rehearsal import rehearsal
from models.small.speech_to_text.data.vocabulary import VOCABULARY
from models.small.speech_to_text.data.voices import ACCENTS, UNHEARD_ACCENTS, VARIANTS
from models.small.speech_to_text.training.network import FINE_PLAN, NETWORK, PLAN, SIGNAL
from models.speech_to_text.word_errors import word_error_rate


@dataclass(frozen=True)
class Sizes:
    """How many recordings are made for a training from scratch."""

    train: int = 21_000
    validation: int = 1_200


@dataclass(frozen=True)
class SpeechTrainer(CtcTrainer):
    """Recordings of synthetic voices, by seed; symbols are letters, and the error rate is of words."""

    network: ConvCtc = NETWORK
    plan: CtcFittingPlan = PLAN
    fine_plan: CtcFittingPlan = FINE_PLAN
    sizes: Sizes = Sizes()
    signal: ClassVar[Signal] = SIGNAL
    symbols: ClassVar[str] = symbols.SYMBOLS
    error_name: ClassVar[str] = "wer"

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text in canonical form. Raises `KeyError` for a symbol that isn't known."""
        return symbols.encode(symbols.canonical(text))

    def decode(self, labels: Sequence[int]) -> str:
        """Return the text of such numbers."""
        return symbols.decode(labels)

    def error_rate(self, pairs: Sequence[tuple[str, str]]) -> float:
        """Return the word error rate of all recordings together."""
        return word_error_rate(pairs)

    def synthetic(self, seed: int, on_step: OnStep) -> TrainingData:
        """Make recordings with espeak-ng. Raises `Untrainable`."""
        train = make_split("train", self.sizes.train, seed, on_step)
        return TrainingData(train, make_split("validation", self.sizes.validation, seed, on_step))

    def rehearsal(self, seed: int, on_step: OnStep) -> TrainingData:
        """Read the recordings that ship for this: espeak-ng need not be there."""
        return TrainingData(rehearsal("train"), rehearsal("validation"))

    def data_card(self, data: TrainingData) -> dict[str, Any]:
        """Name words, voices and rooms, and how many recordings there are."""
        return {
            "speech": "made by espeak-ng 1.51 (GPL-3.0; what it says is free), phrases of "
            "models/small/speech_to_text/data/vocabulary.py",
            "words": list(VOCABULARY),
            "accents": {"all splits": list(ACCENTS), "test": list(UNHEARD_ACCENTS)},
            "variants": {split: list(names) for split, names in VARIANTS.items()},
            "rooms": "tempo, echo, band, noise and level by chance (models/small/speech_to_text/data/acoustics.py)",
            "recordings": asdict(self.sizes),
        }

    def figures(self, model: onnx.ModelProto) -> dict[str, float]:
        """Measure a model on the shipped held-out set."""
        judged = judge(session(model.SerializeToString()), self.task, list(self.task.held_out()))
        return {name: round(value, 5) for name, value in self.task.figures(judged).items()}
