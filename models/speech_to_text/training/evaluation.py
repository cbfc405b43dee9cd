"""How a model is chosen and checked: word error rate and temperature on the validation's voices, agreement with JAX."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.base import Decoded, Features
from models.nn.calibration import best_temperature, log_loss
from models.nn.conv_ctc import Parameters
from models.nn.ctc_evaluation import parity, softened
from models.nn.onnx_inference import Outputs, padded_inputs, run
from models.speech_to_text.data.generation import Utterance
from models.speech_to_text.task import SpeechToText
from models.speech_to_text.training.network import NETWORK, SIGNAL
from models.speech_to_text.word_errors import word_error_rate

Batches = list[tuple[list[int], Outputs]]


def outputs(task: SpeechToText, model: Any, utterances: Sequence[Utterance]) -> Batches:
    """What the model makes of utterances, batch by batch, with their places."""
    return list(run(model, task, [_features(one) for one in utterances]))


def heard(task: SpeechToText, batches: Batches, temperature: float = 1.0) -> list[Decoded]:
    """The predictions in the utterances' order, after dividing the logits by a temperature."""
    found: dict[int, Decoded] = {}
    for places, batch in batches:
        soft = batch if temperature == 1.0 else {**batch, "log_probs": softened(batch["log_probs"], temperature)}
        found.update(zip(places, task.decode(soft, []), strict=True))
    return [found[place] for place in sorted(found)]


def error_rate(said: Sequence[Decoded], utterances: Sequence[Utterance]) -> float:
    """The word error rate of all utterances together."""
    return word_error_rate((one.output["text"], truth.text) for one, truth in zip(said, utterances, strict=True))


def fitted_temperature(task: SpeechToText, batches: Batches, utterances: Sequence[Utterance]) -> float:
    """The temperature at which confidence predicts best whether all words are right (log loss)."""

    def loss(temperature: float) -> float:
        said = heard(task, batches, temperature)
        right = [one.output["text"] == truth.text for one, truth in zip(said, utterances, strict=True)]
        return log_loss(np.array([one.confidence for one in said]), np.array(right))

    return best_temperature(loss)


def difference(model: Any, parameters: Parameters, temperature: float, utterances: Sequence[Utterance]) -> float:
    """The largest absolute difference between log probabilities of JAX and ONNX Runtime."""
    inputs = [_features(one) for one in utterances]
    widest = max(one["mels"].shape[1] for one in inputs)
    batch = padded_inputs(inputs, {"mels": (NETWORK.height, widest), "width": ()})
    return parity(NETWORK, parameters, temperature, model, SIGNAL, batch)


def _features(utterance: Utterance) -> Features:
    return {"mels": utterance.mels, "width": np.array(utterance.mels.shape[1], np.int32)}
