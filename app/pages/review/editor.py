"""The interface of editors of predictions."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from models.base import Rejected


class Editor(ABC):
    """The viewer's changes to a prediction. An editor calls `on_change` after each of them."""

    on_change: Callable[[], object] = staticmethod(lambda: None)

    @abstractmethod
    def correction(self) -> dict[str, Any] | None:
        """Return the right output; None while the prediction is unchanged. Raises `Rejected`."""

    @property
    def is_changed(self) -> bool:
        """Whether the prediction is changed, if only to an output that is not valid."""
        try:
            return self.correction() is not None
        except Rejected:
            return True

    def choose(self, digit: int) -> bool:
        """Select the choice of this number, from 1; return whether there is one."""
        return False
