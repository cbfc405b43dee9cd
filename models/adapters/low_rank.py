"""Updates of low rank beside frozen matrices.

LoRA: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.

The matrices of one module in all layers stand in one array, (layers, inputs, outputs). What is added to them is the
product of two factors, the first drawn by chance, the second zero at the beginning.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from models.adapters.linear_layer import Floats

Factors = dict[str, tuple[Array, Array]]
"""By module: (layers, inputs, rank) and (layers, rank, outputs)."""


def initial(layers: Mapping[str, Floats], modules: Iterable[str], rank: int, seed: int) -> Factors:
    """Return factors that add nothing to these modules."""
    rng, factors = np.random.default_rng([seed, 21]), Factors()
    for module in modules:
        count, inputs, outputs = layers[module].shape
        drawn = rng.normal(scale=inputs**-0.5, size=(count, inputs, rank))
        factors[module] = jnp.asarray(drawn, jnp.float32), jnp.zeros((count, rank, outputs))
    return factors


def updates(factors: Factors, share: float = 1.0) -> dict[str, Array]:
    """Return what a share of the factors adds to each module."""
    return {module: share * (first @ second) for module, (first, second) in factors.items()}


def updated(layers: Mapping[str, Any], factors: Factors) -> dict[str, Any]:
    """Return the layers with what the factors add."""
    return {**layers, **{module: layers[module] + update for module, update in updates(factors).items()}}
