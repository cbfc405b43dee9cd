"""The task `scales` with a memory leak."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from models.base import Asked, Decoded
from tests.support.scales import Scales

LEAK_BYTES = 2 * 2**30


class Leaky(Scales):
    """A process that decodes a negative weight holds 2 GiB from then on."""

    _leaked: ClassVar[list[bytes]] = []

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        if (outputs["weight"] < 0).any() and not self._leaked:
            self._leaked.append(b"1" * LEAK_BYTES)
        return super().decode(outputs, asked)
