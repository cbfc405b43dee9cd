"""The costs of a training from scratch, for its card."""

import os
import platform
import time
from typing import Any


class TrainingCosts:
    """Measure a training: it begins with the object, goes on with `data_made()`, and ends with `fitted()`."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._card: dict[str, Any] = {}

    def data_made(self) -> None:
        """Mark the end of making data and the start of fitting."""
        now = time.perf_counter()
        self._card["data seconds"] = round(now - self._started, 1)
        self._started, self._cpu_started = now, time.process_time()

    def fitted(self) -> None:
        """Mark the end of fitting."""
        self._card["training seconds"] = round(time.perf_counter() - self._started, 1)
        self._card["training CPU seconds"] = round(time.process_time() - self._cpu_started, 1)

    def card(self) -> dict[str, Any]:
        """Return the seconds of both parts, and what machine they were measured on."""
        return {**self._card, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
