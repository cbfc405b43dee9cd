"""Training from scratch: recordings made by seed, fitting, and the card."""

import os
import platform
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx

from models.base import OnStep
from models.nn.conv_ctc import parameter_count
from models.nn.ctc_fitting import Plan, fit
from models.speech_to_text.data.generation import made
from models.speech_to_text.data.vocabulary import VOCABULARY
from models.speech_to_text.data.voices import ACCENTS, UNHEARD_ACCENTS, VARIANTS
from models.speech_to_text.task import SpeechToText
from models.speech_to_text.training.finalization import finish
from models.speech_to_text.training.network import NETWORK, PLAN, example


@dataclass(frozen=True)
class Sizes:
    """How many recordings are made."""

    train: int = 21_000
    validation: int = 1_200


def train_from_scratch(
    task: SpeechToText, seed: int, on_step: OnStep, sizes: Sizes | None = None, plan: Plan = PLAN
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A model and its card. Raises `Untrainable`; `RuntimeError` if ONNX Runtime doesn't agree with JAX."""
    sizes, plan, started = sizes or Sizes(), replace(plan, seed=seed), time.perf_counter()
    train = made("train", sizes.train, seed, on_step)
    validation = made("validation", sizes.validation, seed, on_step)
    ready, cpu_before = time.perf_counter(), time.process_time()
    fitting = lambda step, steps, _: on_step("fitting", step, steps)  # noqa: E731
    fitted = fit(NETWORK, NETWORK.initial(seed), [example(one) for one in train], plan, fitting)
    fitting_seconds, cpu_seconds = time.perf_counter() - ready, time.process_time() - cpu_before

    on_step("measuring", 0, None)
    model, figures = finish(task, fitted.parameters, validation)
    card = {
        "seed": seed,
        "data": {**_DATA, "recordings": asdict(sizes)},
        "parameters": parameter_count(fitted.parameters),
        "network": asdict(NETWORK),
        "plan": asdict(plan),
        "data seconds": round(ready - started, 1),
        "training seconds": round(fitting_seconds, 1),
        "training CPU seconds": round(cpu_seconds, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "figures": {**figures, "last_loss": round(float(np.mean(fitted.losses[-50:])), 5)},
    }
    return model, card


_DATA: dict[str, Any] = {
    "speech": "made by espeak-ng 1.51 (GPL-3.0; what it says is free), phrases of "
    "models/speech_to_text/data/vocabulary.py",
    "words": list(VOCABULARY),
    "accents": {"all splits": list(ACCENTS), "test": list(UNHEARD_ACCENTS)},
    "variants": {split: list(names) for split, names in VARIANTS.items()},
    "rooms": "tempo, echo, band, noise and level by chance (models/speech_to_text/data/acoustics.py)",
}
