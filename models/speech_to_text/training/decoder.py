"""Moonshine's decoder in JAX: the states before its last layer, given all true tokens before each one.

As published (Jeffries et al., 2024, and their code): six layers, each of attention to the tokens before, attention to
the encoder's states, and a gated layer (SwiGLU); the first attention turns most of its features by the tokens' places
(RoFormer: Su et al., 2021). The weights are those of the file; what is quantised there is computed in floats here.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

HEADS = 8
_TURNED = 32
"""Features of a head that are turned."""
_BASE = 10_000.0

Arrays = Mapping[str, jax.Array]


def hidden(
    layers: Arrays, embedding: jax.Array, norm: jax.Array, tokens: jax.Array, states: jax.Array, frames: jax.Array
) -> jax.Array:
    """Return (batch, length, features) of tokens (batch, length), and the encoder's states (batch, frames, features).

    `frames` (batch,) says how many of them count. `layers` are those of `weights.DecoderWeights`.
    """
    length = tokens.shape[1]
    turns = jnp.arange(length)[:, None] / _BASE ** (jnp.arange(0, _TURNED, 2) / _TURNED)
    before = jnp.tril(jnp.ones((length, length), bool))[None, None]
    there = (jnp.arange(states.shape[1]) < frames[:, None])[:, None, None]

    def layer(values: jax.Array, weights: Arrays) -> tuple[jax.Array, None]:
        own = _normal(values, weights["input_layernorm"])
        values += _attention(weights, "self_attn", own, own, before, turns)
        values += _attention(
            weights, "encoder_attn", _normal(values, weights["post_attention_layernorm"]), states, there, None
        )
        values += _gated(weights, _normal(values, weights["final_layernorm"]))
        return values, None

    values, _ = jax.lax.scan(layer, jnp.asarray(embedding)[tokens], dict(layers))
    return _normal(values, norm)


def _normal(values: jax.Array, scale: jax.Array) -> jax.Array:
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * scale


def _attention(
    weights: Arrays, name: str, asking: jax.Array, asked: jax.Array, mask: jax.Array, turns: jax.Array | None
) -> jax.Array:
    queries, keys, values = (
        _heads(of @ weights[f"{name}/{part}_proj"]) for part, of in (("q", asking), ("k", asked), ("v", asked))
    )
    if turns is not None:
        queries, keys = _turned(queries, turns), _turned(keys, turns)
    scores = jnp.einsum("bhqd,bhkd->bhqk", queries, keys) / jnp.sqrt(queries.shape[-1])
    shares = jax.nn.softmax(jnp.where(mask, scores, -1e9))
    mixed = jnp.einsum("bhqk,bhkd->bqhd", shares, values)
    return mixed.reshape(*asking.shape[:2], -1) @ weights[f"{name}/o_proj"]


def _heads(values: jax.Array) -> jax.Array:
    batch, length, features = values.shape
    return values.reshape(batch, length, HEADS, features // HEADS).swapaxes(1, 2)


def _turned(values: jax.Array, turns: jax.Array) -> jax.Array:
    """Turn each pair of neighbouring features, (batch, heads, length, features), by the angles (length, pairs)."""
    first, second = values[..., 0:_TURNED:2], values[..., 1:_TURNED:2]
    cosines, sines = jnp.cos(turns), jnp.sin(turns)
    pairs = jnp.stack((first * cosines - second * sines, second * cosines + first * sines), axis=-1)
    return jnp.concatenate((pairs.reshape(*values.shape[:3], _TURNED), values[..., _TURNED:]), axis=-1)


def _gated(weights: Arrays, values: jax.Array) -> jax.Array:
    values, gate = jnp.split(values @ weights["mlp/fc1"] + weights["mlp/fc1/bias"], 2, axis=-1)
    return (values * jax.nn.silu(gate)) @ weights["mlp/fc2"] + weights["mlp/fc2/bias"]
