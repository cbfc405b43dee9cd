"""The scales, with a leak."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from models.base import Asked, Decoded
from tests.support.scales import Scales

LEAKED = 2 * 2**30


class Leaky(Scales):
    """Whoever decodes a weight below nothing holds 2 GiB from then on."""

    _held: ClassVar[list[bytes]] = []

    def decode(self, outputs: Mapping[str, NDArray[Any]], asked: Sequence[Asked]) -> list[Decoded]:
        if (outputs["weight"] < 0).any() and not self._held:
            self._held.append(b"1" * LEAKED)
        return super().decode(outputs, asked)
