"""Remembered inputs by their tasks' near keys (`Task.near_key`): which of them are nearly equal to an input."""

import base64
import binascii
import zlib
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 8_192
"""Of a key: it is part of a prediction and of its outcome."""
_PROBED_VALUES = 64
"""Looked at first: nearly all other inputs differ in one of them."""

Key = NDArray[np.uint8]


def encode_key(key: Key) -> str:
    """Return a key as text: its shape, and its compressed values in base64."""
    shape = "x".join(str(size) for size in key.shape)
    return f"{shape}:{base64.b64encode(zlib.compress(key.tobytes())).decode()}"


def decode_key(text: str) -> Key:
    """Return the key of a text. Raises `ValueError` if it is none."""
    shape, _, values = text.partition(":")
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(values, validate=True), MAX_VALUES)
        return np.frombuffer(content, np.uint8).reshape([int(size) for size in shape.split("x")])
    except (ValueError, binascii.Error, zlib.error) as error:
        raise ValueError(f"{text[:50]!r} is not a near key: {error}") from error


class NearInputs:
    """The keys of inputs, by the inputs' digests."""

    def __init__(self, bound: int) -> None:
        """Take the greatest difference of two values at which inputs are nearly equal."""
        self._bound = bound
        self._keys: dict[tuple[int, ...], dict[str, Key]] = defaultdict(dict)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._probes: dict[tuple[int, ...], NDArray[np.int16]] = {}

    def put(self, digest: str, key: Key) -> None:
        """Add an input, or replace its key."""
        self.discard(digest)
        self._keys[key.shape][digest] = key
        self._shapes[digest] = key.shape
        self._probes.pop(key.shape, None)

    def discard(self, digest: str) -> None:
        """Forget an input, if it is known."""
        shape = self._shapes.pop(digest, None)
        if shape is not None:
            del self._keys[shape][digest]
            self._probes.pop(shape, None)

    def clear(self) -> None:
        """Forget all."""
        self._keys.clear()
        self._shapes.clear()
        self._probes.clear()

    def find(self, key: Key) -> list[tuple[int, str]]:
        """Return the distance and the digest of each input within the bound, the nearest first."""
        keys = self._keys.get(key.shape)
        if not keys:
            return []
        probes = self._probes.get(key.shape)
        if probes is None:
            probes = self._probes[key.shape] = np.stack([_probe(other) for other in keys.values()])
        digests = list(keys)
        places = np.flatnonzero(np.abs(probes - _probe(key)).max(axis=1) <= self._bound)
        distances = ((_distance(keys[digests[place]], key), digests[place]) for place in places.tolist())
        return sorted(found for found in distances if found[0] <= self._bound)


def _probe(key: Key) -> NDArray[np.int16]:
    """Return values from all over a key."""
    return key.reshape(-1)[:: max(1, key.size // _PROBED_VALUES)].astype(np.int16)


def _distance(one: Key, other: Key) -> int:
    return int(np.abs(one.astype(np.int16) - other).max())
