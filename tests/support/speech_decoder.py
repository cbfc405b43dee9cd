"""A decoder of one layer with weights by chance, which knows eight tokens."""

from functools import cache

import numpy as np

from models.adapters.quantised_weights import QuantisedWeights
from models.speech_to_text.training.utterances import Utterance
from models.speech_to_text.training.weights import DecoderWeights

FEATURES, INNER, TOKENS = 288, 32, 8
ATTENTION = [f"{kind}_attn/{part}_proj" for kind in ("self", "encoder") for part in "qkvo"]


@cache
def made_weights() -> DecoderWeights:
    rng = np.random.default_rng(0)
    shapes = {**dict.fromkeys(ATTENTION, (FEATURES, FEATURES)), "mlp/fc1": (FEATURES, 2 * INNER)}
    matrices = {
        module: [QuantisedWeights(module, rng.integers(0, 256, shape).astype(np.uint8), 5e-4, 128)]
        for module, shape in {**shapes, "mlp/fc2": (INNER, FEATURES)}.items()
    }
    norms = ("input_layernorm", "post_attention_layernorm", "final_layernorm")
    layers = {
        **{module: matrix[0].values()[None] for module, matrix in matrices.items()},
        **{name: np.ones((1, FEATURES), np.float32) for name in norms},
        "mlp/fc1/bias": np.zeros((1, 2 * INNER), np.float32),
        "mlp/fc2/bias": np.zeros((1, FEATURES), np.float32),
    }
    embedding = rng.normal(size=(TOKENS, FEATURES)).astype(np.float32)
    output = rng.normal(scale=0.05, size=(FEATURES, TOKENS)).astype(np.float32)
    return DecoderWeights(layers, embedding, output, np.ones(FEATURES, np.float32), matrices)


def made_utterances(count: int, seed: int) -> list[Utterance]:
    rng = np.random.default_rng(seed)
    return [
        Utterance(
            rng.normal(size=(int(rng.integers(5, 40)), FEATURES)).astype(np.float32),
            rng.integers(3, TOKENS, int(rng.integers(1, 6))).tolist(),
        )
        for _ in range(count)
    ]
