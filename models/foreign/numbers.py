"""From JSON to a vector of numbers for a foreign model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from models.base import Features, Rejected

LARGEST = 1e30
"""A greater value would overflow in a model of 32-bit numbers."""


class FromNumbers:
    """The part of a task that reads numbers: a JSON list, in the columns' order, or an object of columns by name.

    Features: `numbers` float64 (columns,).
    """

    columns: ClassVar[Sequence[str]]
    max_payload_bytes: ClassVar[int] = 256 * 1024

    def preprocess(self, payload: bytes) -> Features:
        """Return the numbers. Raises `Rejected`: `not_json`, `bad_columns`, `bad_number`."""
        try:
            request = json.loads(payload.decode())
        except (ValueError, RecursionError) as error:
            raise Rejected("not_json", f"the payload is not JSON: {error}; {self._shape()}") from None
        if isinstance(request, Mapping) and request.keys() == {*self.columns}:
            values = [request[column] for column in self.columns]
        elif isinstance(request, list) and len(request) == len(self.columns):
            values = request
        else:
            raise Rejected("bad_columns", f"the JSON has other columns; {self._shape()}")
        return {"numbers": np.array([self._number(*pair) for pair in zip(self.columns, values, strict=True)])}

    def summary(self, features: Features) -> dict[str, float]:
        """Return each column, to detect drift."""
        return dict(zip(self.columns, features["numbers"].tolist(), strict=True))

    def _number(self, column: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            raise Rejected("bad_number", f"{column} is {str(value)[:50]!r}: a finite number is needed")
        return float(value)

    def _shape(self) -> str:
        names = ", ".join(self.columns[:5]) + (", ..." if len(self.columns) > 5 else "")
        return f"send a list of {len(self.columns)} numbers, or an object of {names}"
